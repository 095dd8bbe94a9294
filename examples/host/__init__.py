"""A host for replicated state machines: one process, one port, one disk, any number of Raft groups.

    application ─> Replica ─> RawNode ─> Ready ─> Disk ─> Transport ─> StateMachine ─> application

What is replicated is the application's business; here it is bytes. Read in this order: `machine` (what an application
brings), `replica` (what it may ask), `driver` (the loop around the core), `requests`, `reads`, `changes`, `membership`,
`state`, `snapshots` (one idea each), `host`; then `disk` and `transport`.
"""
