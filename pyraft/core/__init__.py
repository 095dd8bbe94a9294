"""The state machine: one record (`raft`), one room per idea, read from `step` downwards.

Each room reaches only rooms below it: step > roles, durability > snapshot, proposals > election, membership, acks >
transitions, reads, transfer > replication > raft.
"""
