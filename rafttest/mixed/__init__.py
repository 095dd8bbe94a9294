"""A group of nodes of this library and of go.etcd.io/raft, with real encodings between them.

peer           what a node of either library can be asked, and what it answers
python_node    a node of this library
go_process     the program with the nodes of the other one, and the frames to it
laws           what has to hold at each event, whoever leads
group          the nodes, the network between them, and what happens by chance
run            one seed: faults, then rest, in which the group owes a leader, a write, reads and equal states
coverage       what the groups must have been through for their silence to mean anything
command        `python -m rafttest mixed`
"""
