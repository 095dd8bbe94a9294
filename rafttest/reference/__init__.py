"""The reference, go.etcd.io/raft/v3: small Go programs that drive it, and the comparison with what it says."""
