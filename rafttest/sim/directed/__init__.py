"""Directed schedules: a cluster that moves only as a test says."""
