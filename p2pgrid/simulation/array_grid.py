"""What a grid of arrays remembers of each node and each link."""

import numpy as np

from p2pgrid.limits.spreading import GOSSIP_PROVIDERS_WANTED
from p2pgrid.simulation.array_links import Links
from p2pgrid.simulation.array_records import ArrayRecords

_NEVER = np.float32(-1e9)


class ArrayGrid:
    """All state that does not follow from the links."""

    def __init__(self, links: Links) -> None:
        self.links = links
        nodes, edges = links.nodes, len(links.source)
        self.nodes, self.edges = nodes, edges
        self.is_listener = np.zeros(edges, bool)
        """Of an edge: its sender pushes to its receiver."""
        self.is_provider = np.zeros(edges, bool)
        """Of an edge: its sender asked its receiver to push."""
        self.listeners = np.zeros(nodes, np.int32)
        self.providers = links.first[:, np.newaxis] + np.arange(GOSSIP_PROVIDERS_WANTED)
        """Of each node the edges to them; to begin with those connected first."""
        self.first_at = np.zeros(edges, np.float32)
        """When the receiver of an edge last brought something first."""
        self.promoted_at = np.full(nodes, _NEVER)
        self.flush_at = np.full(edges, _NEVER)
        """The last push on an edge, or the next one when something waits for it."""
        self.announce_at = np.full(nodes, _NEVER)
        """The last announcement of a node, or the next one."""
        self.free_at = np.full(nodes, _NEVER)
        """When a node's uplink has sent everything."""
        self.arrived = np.zeros(nodes, np.int32)
        """Records that came to a node: the end of its log of arrivals."""
        self.cursor = np.zeros(edges, np.int32)
        """Of an edge: where its sender is in its receiver's log."""
        self.records = ArrayRecords(nodes, edges)
        self.is_provider[self.providers] = True
        back = links.back[self.providers.ravel()]
        self.is_listener[back] = True
        self.listeners += np.bincount(links.source[back], minlength=nodes).astype(np.int32)
