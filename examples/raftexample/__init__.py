"""A replicated key-value store, after etcd's raftexample: a state machine, `kv`, and a face, `http`, on a host.

python -m examples.raftexample --help
"""
