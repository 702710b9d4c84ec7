"""Replication of sets and registers: pure, generic, knows no feature."""
