"""Whole grids in one process: the real pure cores under one seeded scheduler, with every fault."""
