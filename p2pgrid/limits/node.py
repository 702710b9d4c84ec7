"""Limits of the node program."""

HELD_CHECK_SECONDS = 60.0
"""How often a node looks whether what it holds has changed, besides when it is told."""

INTRODUCTION_SECONDS = 30.0
"""How often the network layer hears where nodes are: addresses change rarely."""

INTRODUCED_AT_ONCE = 8
"""Nodes, any of those known, whose addresses the network layer hears of when it wants more."""
