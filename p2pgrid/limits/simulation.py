"""Sizes and rates of simulated grids."""

REAL_NODES_MAX = 5_000
"""Above, `converge` runs as arrays: each real node holds a view of everybody."""

LATENCY_MEDIAN_SECONDS = 0.040
"""One way, of a lognormal distribution like those between machines of the Internet."""

LATENCY_SIGMA = 0.5
"""Between links: one in a hundred takes more than 130 ms."""

JITTER_SIGMA = 0.15
"""From message to message, so that some overtake others."""

UPLINK_BYTES_PER_SECOND = 1_250_000.0
"""10 Mbit/s: what a node at home can send. What is sent at once waits in line."""

LOSS = 0.01
"""Messages that do not arrive: queues that were full, connections that broke."""

DUPLICATED = 0.01
"""Messages that arrive twice."""

CLOCK_SKEW_MS_MAX = 10 * 60 * 1000
"""Clocks of honest nodes are wrong by up to so much, either way."""

CHANGES_PER_HOUR = 1.0
"""Of one node, that are worth a record: a reservation begins or ends. It announces itself four
times a day besides."""

CHANGES_PER_HOUR_MIN = 0.001
"""That may be asked for: one in six weeks. Of much less, pauses are no numbers any more."""

CHANGES_PER_HOUR_MAX = 3600.0
"""One a second."""

MINUTES_MIN = 0.01
"""For how long records may be asked to change: half a second, in which nothing arrives."""

MINUTES_MAX = 7 * 24 * 60.0
"""A week: more was never looked at."""

DELIVERIES_MAX = 200_000_000
"""Records of a run times nodes: a week of 1,000 nodes. Each takes 0.14 ms, so eight hours."""

ARRAY_DELIVERIES_MAX = 2_000_000_000
"""The same of a grid of arrays. Each takes 2 µs, so an hour."""

MEMBERS_OUTBOUND = 6
"""Neighbours that each node dials; as many dial it, on average."""

HOP_SECONDS = 0.010
"""What a node takes to verify a batch and to hand it on."""

MESSAGE_OVERHEAD_BYTES = 60
"""Frames, headers and acknowledgements around a message, of libp2p, TCP and IPv6."""

QUIET_SECONDS = 130.0
"""After the last change: two rounds of pulls, so that what gossip lost arrives."""

ROOTS_CHECK_SECONDS = 1.0
"""How often the roots of all nodes are compared once there are no more changes."""

HEAL_SECONDS_MAX = 60.0
"""Within so long after a partition ended all roots must be equal."""

SILENT_SHARE = 0.33
"""Nodes that say and forward nothing in `silent-third`."""

LIAR_SHARE = 0.05
"""Nodes of each kind of liar in `flood`."""

FLOOD_KEYS = 40
"""Keys that each flooding node makes up: together as many registers as the honest have, or more."""

FLOOD_ROOM = 3
"""Registers of a kind that a node in `flood` has places for, for each honest node."""

ACT_SECONDS = 5.0
"""How often a liar does what it does."""

OUTAGE_SECONDS = 120.0
"""How long a node that died is away, on average."""

UPTIME_SECONDS = 1800.0
"""How long a node is up in `churn` between two deaths, on average."""

VERIFIED_MAX = 200_000
"""Envelopes whose check is remembered: the same bytes are checked once for all nodes."""

NODES_MIN = 8
"""Fewer are no mesh."""

IN_FLIGHT_SECONDS = 10.0
"""After the last change: what gossip brings is there by then."""

SETTLE_SECONDS = 5.0
"""Before anything is measured: routers choose their providers."""

ARRAY_NODES_MAX = 200_000
"""Of a grid of arrays: 1.2 MB for each of the records under way, at 100,000 nodes."""

ARRAY_SLOTS_MIN = 64
"""Records under way at once that there is place for at first; it doubles."""

ARRAY_REACH_SECONDS_MAX = 200
"""Until a record is somewhere; what takes longer is counted as that."""

ARRAY_LINGER_SECONDS = 3.0
"""After everybody has a record: announcements and pushes of it are under way for so long."""

ARRAY_MINUTES = 0.5
"""For how long records change in a grid of arrays, unless told otherwise: 800 records a run."""

ECLIPSE_HONEST_SHARE = 0.1
"""Of all addresses in `eclipse`; attackers have the others."""

ECLIPSE_HONEST_MIN = 8
"""Honest nodes at least: fewer are no mesh."""

ECLIPSE_VICTIM_SHARE = 0.25
"""Of the honest nodes: they start among attackers, and know nobody."""

ECLIPSE_PREFIXES = 5
"""In which attackers have addresses: one less than the neighbours that a node chooses itself."""

ECLIPSE_HONEST_PREFIXES = 50
"""Among which honest nodes are."""

ECLIPSE_CROWD_SHARE = 0.25
"""Of the attackers, that connect to each victim themselves; the others wait to be dialled."""

ECLIPSE_AWAY = 0.25
"""Dials to honest nodes that fail. Attackers always answer."""

ECLIPSE_STAY_SECONDS = 900.0
"""How long an honest neighbour stays, on average. Attackers stay for ever."""

ECLIPSE_ALONE_SECONDS_MAX = 120.0
"""Without any honest neighbour of its own choice: a node that starts may take so long."""

ECLIPSE_RESTART_SHARE = 0.7
"""When victims are made to start again, as a share of the time in which records change."""
