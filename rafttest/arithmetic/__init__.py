"""Traces of quorums and configurations, without any node."""
