"""Limits of the demo."""

from p2pgrid.units import KIB

DEMO_START_SECONDS_MAX = 120.0
"""All processes together import libp2p, 3 s of CPU each, on whatever machine this is."""

DEMO_STOP_SECONDS_MAX = 30.0
"""What all processes together get to stop cleanly."""

DEMO_GOSSIP_SECONDS_MAX = 60.0
"""Until every peer has heard something; seconds, or one reconcile when gossip lost it."""

DEMO_POLL_SECONDS = 0.1
"""How often the demo looks again while it waits."""

DEMO_PAGE_SECONDS_MAX = 20.0
"""From the start of a container to its first web page."""

DEMO_PAGE_BYTES_MAX = 64 * KIB
"""What the demo prints of a page."""
