"""Harnesses of other implementations, which speak the protocol of `benchmarks.worker`."""
