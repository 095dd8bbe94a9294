"""Traces of whole clusters: nodes in one thread, moved by commands."""
