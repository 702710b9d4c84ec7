"""Limits of the node program."""

HELD_CHECK_SECONDS = 60.0
"""How often a node looks whether what it holds has changed, besides when it is told."""

INTRODUCTION_SECONDS = 30.0
"""How often the network layer hears where nodes are: addresses change rarely."""

INTRODUCED_AT_ONCE = 8
"""Nodes, any of those known, whose addresses the network layer hears of when it wants more."""

INTRODUCTION_LOOKS_MAX = 200
"""Nodes looked at, 4 ms, for those few that are up: in a grid of so few, all of them."""

NEAR_HOLDERS_MAX = 8
"""Holders of an image on the local network that are asked before all others: they fill any link,
and a local crowd keeps nobody else from being asked."""

RESUME_SECONDS = 5.0
"""Pause before an image that a restart interrupted is pulled again; doubles with each failure."""

RESUME_SECONDS_MAX = 600.0
"""The longest such pause."""
