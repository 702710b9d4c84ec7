"""p2pgrid: a compute and storage grid of equal peers.

Reading order for newcomers: ARCHITECTURE.md, then `model` (the nouns),
`wire/grid.cddl` (every record on one page), `reservation/lifecycle.py` (the
life of one reservation), `node.py` (how the parts are plugged together).
"""
