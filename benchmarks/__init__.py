"""Measurements of pyraft beside its peers; `python -m benchmarks --help`, and README.md here."""
