"""Tests of p2pgrid.fuse."""
