"""Limits of how records spread; see `net/spreading.py`."""

from p2pgrid.units import KIB, MIB

GOSSIP_BATCH_BYTES_MAX = 64 * KIB
"""Data in one message: two of the longest items would block a slow link for others."""

GOSSIP_BATCH_ITEMS_MAX = 1024
"""Items in one message: more would be shorter than any record."""

GOSSIP_IDS_PER_MESSAGE_MAX = 4096
"""Ids in one message, 36 KiB."""

GOSSIP_FRAME_BYTES_MAX = 160 * KIB
"""A message on the wire: a batch of the smallest items is mostly names of topics and heads."""

GOSSIP_TOPICS_PER_PEER_MAX = 16
"""Topics that one peer may want to hear: there are three."""

GOSSIP_PROVIDERS_WANTED = 2
"""Peers that push to us, and so copies of each record. With one, every failure costs a delay."""

GOSSIP_LISTENERS_MAX = 24
"""Peers to which we push: a node that is always first would have to serve hundreds otherwise."""

GOSSIP_FLUSH_SECONDS = 0.05
"""Between pushes to one peer: at high rates one frame carries many items. The first waits not."""

GOSSIP_ANNOUNCE_SECONDS = 0.2
"""How long ids are gathered before they are announced. Pushes are mostly faster anyway."""

GOSSIP_PULL_SECONDS = 0.4
"""After an announcement, for the push that is under way: some hops at 40 ms."""

GOSSIP_REPEAT_PULL_SECONDS = 0.5
"""For a peer to give what it announced, before the next that did is asked."""

GOSSIP_PROMOTION_SECONDS = 1.0
"""Between changes of providers: one slow moment would exchange all of them."""

GOSSIP_ANNOUNCERS_MAX = 8
"""Whom to ask for one item, at most."""

GOSSIP_WANTED_PER_PEER_MAX = 2048
"""Ids wanted because one peer announced them: anybody can make them up."""

GOSSIP_WANTED_MAX = 65_536
"""The same of all peers together, in equal shares; 25 MB."""

GOSSIP_SEEN_MAX = 65_536
"""Ids remembered, so that nothing is judged twice: 5 minutes of 200 records/s, 8 MB."""

GOSSIP_SEEN_SECONDS = 300.0
"""How long ids are remembered; who was away for longer reconciles."""

GOSSIP_KEPT_BYTES_MAX = 4 * MIB
"""Items kept for those who pull them: those who do are seconds behind."""

GOSSIP_GIVEN_BYTES_PER_SECOND = 128 * KIB
"""Data that one peer may pull, sustained: to ask costs it 9 bytes an item."""

GOSSIP_GIVEN_BURST_BYTES = 512 * KIB
"""The same at once."""

GOSSIP_PENDING_BYTES_MAX = 256 * KIB
"""Items waiting for the next push to one peer; what is beyond comes to it by reconciling."""

GOSSIP_RETRY_SECONDS = 5.0
"""Before a gossip stream that failed is opened anew, so that breaking them costs us little."""

GOSSIP_STREAM_SECONDS_MAX = 8.0
"""To open a gossip stream: as long as to greet."""

GOSSIP_PEER_MS_PER_SECOND = 250.0
"""CPU that the gossip of one peer may take, sustained: 500 new records a second."""

GOSSIP_PEER_BURST_MS = 1000.0
"""The same at once: what a neighbour has kept for one that just joined."""

GOSSIP_PREFIX_MS_PER_SECOND = 500.0
"""CPU that the gossip of all peers of one prefix may take; see `limits.net`."""

GOSSIP_PREFIX_BURST_MS = 3000.0
"""The same at once."""

GOSSIP_READ_MS_PER_MIB = 5.0
"""What bytes of gossip cost before we see them: decryption and Yamux, measured."""

GOSSIP_SLICE_ITEMS = 16
"""Items of one message that are judged at a time: each costs up to 0.5 ms."""

GOSSIP_SLICE_SECONDS = 0.002
"""Of work on one peer's gossip, after which others have their turn."""

GOSSIP_OUTBOX_BYTES_MAX = 1 * MIB
"""Waiting for a peer that reads slowly. Announcements are dropped when half of it is full."""

GOSSIP_OUTBOXES_BYTES_MAX = 64 * MIB
"""The same for all peers together, in equal shares: any number may read slowly on purpose."""
