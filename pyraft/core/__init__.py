"""The state machine: one record (`raft`), one module per idea, read from `step` downwards.

Each module reaches only modules below it: step > roles, durability > snapshot, proposals > election, membership, acks >
transitions, reads, transfer > replication > raft.
"""
