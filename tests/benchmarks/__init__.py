"""Benchmarks: each measures us and a bare reference in the same run, and compares the two."""
