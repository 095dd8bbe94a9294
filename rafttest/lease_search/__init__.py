"""Search for a broken lease: every order of a few events in a small group, on the real RawNode.

    starts      the states that a search begins from, each reached by a script
    group       three nodes, what is under way between them, and every event that may come next
    clock       which node's clock may tick next: the assumption that leases rest on
    key         what makes two states the same: ticks and numbers relative, nodes in any order
    search      breadth first, state by state; the law is judged at each
    command     `python -m rafttest lease-search`

The law: nobody leads a later term while a leader may answer a read by lease (`pyraft.lease`, L3).
"""
