"""The simulator: a whole cluster, its disks and its network in one thread, moved by one seed, every step checked.

Read in this order: `run` (one seed from beginning to end), `options` and `draw` (what a seed stands for),
`cluster.node` (who drives a core), `load.nemesis` (faults), `checker.safety` and `checker.liveness` (what must hold).
"""
