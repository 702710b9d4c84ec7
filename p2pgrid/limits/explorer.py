"""Limits of the explorer."""

from p2pgrid.units import HOUR_MS, KIB, MIB, SECOND_MS

RECORD_AHEAD_MS_MAX = 10 * 60 * SECOND_MS
"""Clocks of honest nodes differ by less; a record from further ahead waits until its time comes."""

NODE_LEASE_MS = 24 * HOUR_MS
"""What a node says counts for so long: four of its announcements may get lost."""

NAME_LEASE_MS = 366 * 24 * HOUR_MS
"""What people say (farms, names of flists) counts for so long: they are not there every day."""

ANNOUNCE_INTERVAL_MS = 6 * HOUR_MS
"""A node repeats what it says although nothing changed: four times in a lease."""

NODE_FRESH_MS = ANNOUNCE_INTERVAL_MS + HOUR_MS
"""A node that was silent for longer than one announcement and an hour shows as down."""

RECORD_INTERVAL_MS = 60 * SECOND_MS
"""One record a minute of each register: gossip costs every node of the grid a millisecond each."""

RECORD_BURST = 5
"""Records of one register that may follow at once, such as when workloads start together."""

CAPACITY_CHANGE_PERCENT = 5
"""Less change of the free capacity is not worth a message to everybody."""

ANNOUNCE_CHECK_SECONDS = 5.0
"""How often a node looks whether what it says of itself is still true."""

GOODBYE_SECONDS_MAX = 2.0
"""A node that stops tries for so long to say so; others see without it that it is silent."""

GOODBYE_TRAVEL_SECONDS = 0.5
"""What was published is written to connected peers within this time; then connections close."""

EXPLORER_RECORD_BYTES_MAX = 4 * KIB
"""A record of the explorer; a full node announcement takes about 600 bytes."""

FARM_MEMBERS_BYTES_MAX = 40 * KIB
"""A record that lists the most nodes a farm may have."""

NODES_HELD_MAX = 100_000
"""Announcements, and updates of capacity: the grid that full peers are made for."""

FARMS_HELD_MAX = 10_000
"""Farms, and lists of their members."""

FLIST_NAMES_HELD_MAX = 20_000
"""Names of flists of all publishers."""

HOLDINGS_HELD_MAX = 10_000
"""Nodes that say which flists they can serve."""

FLIST_NAMES_PER_AUTHOR_MAX = 100
"""Names of one publisher; keys are free, so this only keeps one that is broken in bounds."""

EXPLORER_REGISTERS_MAX = (
    2 * NODES_HELD_MAX + 2 * FARMS_HELD_MAX + FLIST_NAMES_HELD_MAX + (HOLDINGS_HELD_MAX)
)
"""Records of all kinds that one honest peer may hold."""

EXPLORER_MEMORY_BYTES_MAX = 666 * MIB
"""What the records of all kinds take; the shares below add up to it."""

ANNOUNCEMENTS_MEMORY_BYTES_MAX = 400 * MIB
"""Announcements: 4.1 KiB each when all places are taken."""

CAPACITY_MEMORY_BYTES_MAX = 150 * MIB
"""Updates of capacity: 1.5 KiB each."""

FARMS_MEMORY_BYTES_MAX = 24 * MIB
"""Farms: 2.4 KiB each."""

FARM_MEMBERS_MEMORY_BYTES_MAX = 24 * MIB
"""Lists of members: one node takes 122 bytes, so 200,000 nodes in all."""

FARM_MEMBERS_ORPHAN_BYTES_MAX = 2 * MIB
"""Of these, lists whose farm is not known: it may come a moment later, and keys are free."""

FLIST_NAMES_MEMORY_BYTES_MAX = 40 * MIB
"""Names of flists: 2 KiB each."""

HOLDINGS_MEMORY_BYTES_MAX = 28 * MIB
"""Holdings: one flist takes 370 bytes, so 70,000 in all."""

RECORD_MEMORY_BYTES = 1250
"""What a record takes in memory beside its envelope: objects, its id, its places in indexes."""

NODE_MEMORY_BYTES = 1000
"""What an announcement takes besides: more objects, and its row in columns."""

FARM_MEMORY_BYTES = 400
"""What a farm takes besides."""

TEXT_MEMORY_BYTES = 16
"""What a text takes beside its object: where it is listed, and what allocating rounds up to."""

ID_MEMORY_BYTES = 88
"""What a listed id of 32 bytes takes: its object, and where it is listed."""

HOLDER_MEMORY_BYTES = ID_MEMORY_BYTES + 250
"""What one flist of a Holdings record takes: its id, and in the index of holders."""

CONTRADICTIONS_MAX = 1000
"""Proofs that an author said two things at once; the first ones are kept."""

CONTRADICTIONS_BYTES_MAX = 2 * MIB
"""Envelopes of these proofs."""

PROOF_HASH_BYTES = 8
"""Of the name of a register of which somebody has a proof; two alike cost one of many proofs."""

PROOFS_ANSWER_BYTES_MAX = 64 * KIB
"""Of proofs in one answer: each costs the asker two signatures, 0.1 ms, before it is believed."""

PROOFS_PAUSE_SECONDS = 600.0
"""Between questions for proofs that gossip did not bring: there is a new one once in a while."""

LIARS_TOLD_MAX = 20
"""Keys proved to lie that the status of the explorer names; lists of nodes and farms mark all."""

EXPLORER_UNWANTED_MAX = EXPLORER_REGISTERS_MAX
"""Ids of outdated records remembered, so that peers that still hold them are not asked again.

As many as an honest peer may hold: what makes room here and not there is not fetched in a loop.
"""

PULL_PAUSES_SECONDS = (2.0, 5.0, 10.0, 20.0)
"""Between the first pulls after a start: gossip reaches a new node once its mesh has formed."""

PULL_PAUSE_SECONDS_MIN = 30.0
"""Between pulls from random peers later on."""

PULL_PAUSE_SECONDS_MAX = 60.0
"""Pulls are spread, so that nodes started together do not pull together."""

PULL_BACK_OFF_MS_MIN = 5 * SECOND_MS
"""First wait after a pull that failed; doubles."""

PULL_SECONDS_MAX = 120.0
"""One pull, all pages: a whole grid of 100,000 records over a slow line."""

PULL_IDLE_SECONDS_MAX = 15.0
"""What one pull may last without news or a full page of ids, as others wait for its place:
a slow line brings half a megabyte in less, and whoever is slow on purpose gains little."""

PULL_IN_VAIN_MAX = 1024
"""Records that a peer names and does not bring, or whose time is wrong, beyond as many as are
taken: one question for records. An honest peer names few that expire meanwhile."""

PULLS_AT_ONCE = 3
"""Peers that came up and are pulled from at the same time; a slow one holds up one of these."""

PULL_VERIFY_BATCH = 32
"""Signatures checked, 3 ms, before other tasks get their turn."""

PULL_STORE_BATCH = 256
"""Verified records taken at once, 3 ms. Taking one costs twice as much in writes of 32."""

EXPIRY_SECONDS = 60.0
"""How often records past their lease are dropped; queries leave them out at once."""

COLUMNS_SLICE = 250
"""Nodes brought into columns, 10 ms, before other tasks get their turn."""

MEMBERSHIPS_MAX = 64
"""Sets made of the lists of farms, 40 KiB each: lists of a thousand are asked for every node."""

QUERY_ROWS_MAX = 200
"""Nodes, farms or names in one answer to a light peer."""

QUERY_PAGES_MAX = 8
"""Answers that a light peer takes from one peer for one question."""

QUERY_PEERS = 3
"""Full peers that a light peer asks: one liar is outvoted, and shows."""

QUERY_PEERS_TRIED_MAX = 9
"""Peers tried when some do not answer."""

PULLED_REMEMBERED_MAX = 1024
"""Records that pulls brought lately: what peers just started said, not what a first pull brings."""

PULLED_REMEMBERED_MS = 60 * SECOND_MS
"""Gossip that is slower than the pull that overtook it comes within seconds."""
