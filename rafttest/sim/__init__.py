"""The simulator: a whole cluster, its disks and its network in one thread, moved by one seed, every step checked.

Read in this order: `run` (one seed from beginning to end), `faults` (what a seed draws), `node` (who drives a core),
`invariants` (what must hold).
"""
