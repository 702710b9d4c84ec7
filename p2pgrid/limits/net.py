"""Limits of the network."""

from p2pgrid.limits.wire import FRAME_BYTES_MAX
from p2pgrid.units import KIB, MIB

GOSSIP_BYTES_MAX = 60 * KIB
"""What one gossip message may carry; a larger one would keep a slow link from all else."""

DIAL_SECONDS_MAX = 8.0
"""A peer that accepts TCP but stays mute blocks libp2p for over 100 s otherwise."""

REQUEST_SECONDS_MAX = 10.0
"""What a caller waits for one answer unless it says otherwise."""

HANDLER_SECONDS_MAX = 60.0
"""What one incoming request may occupy us."""

CONNECTIONS_MAX = 256
"""Open connections of one node: gossip wants 6 to 12, requests a few more, strangers the most."""

CONNECTIONS_PER_ADDRESS_MAX = 32
"""Inbound connections from one IP address, half-open ones included."""

CONNECTIONS_PER_PREFIX_MAX = 96
"""Inbound connections from one prefix, half-open ones included: there are others."""

CONNECTIONS_UNKNOWN_MAX = 48
"""Inbound connections whose peer has not greeted yet; for more, one of the crowd makes place."""

ARRIVALS_PER_ADDRESS_PER_SECOND = 2.0
"""Connections that one address may open, sustained. Each costs 10 to 30 ms of CPU."""

ARRIVALS_ADDRESS_BURST = 32
"""The same at once: a farm behind one address that starts."""

ARRIVALS_PER_PREFIX_PER_SECOND = 8.0
"""Connections that all addresses of one prefix may open, sustained."""

ARRIVALS_PREFIX_BURST = 96
"""The same at once."""

ARRIVALS_PER_SECOND = 20.0
"""Connections that anybody may open, sustained: half of a core."""

ARRIVALS_BURST = 192
"""The same at once: nodes that come back to a seed."""

ARRIVALS_QUIET = 4
"""A prefix that opened so few lately gets in even when others have used up the pace of all."""

ARRIVALS_REMEMBERED_MAX = 8192
"""Addresses and prefixes whose pace is remembered."""

STREAMS_PER_CONNECTION_MAX = 64
"""Live inbound streams on one connection; ours needs five: control, gossip, identify and push."""

STREAMS_PER_SECOND = 8.0
"""Streams that one connection may open, sustained: ours last as long as the connection."""

STREAMS_BURST = 64
"""The same at once; more are refused before anything is said on them."""

REQUESTS_PER_PEER_MAX = 64
"""Requests of one peer that we work on at once; the others wait in its own socket."""

WINDOW_OVERRUN_BYTES_MAX = 256 * KIB
"""What a peer may send beyond its Yamux window before we hang up: one window of slack."""

INBOX_MESSAGES_MAX = 4096
"""Gossip messages queued for a consumer before new ones are dropped; catch-up brings them later."""

PEERS_REMEMBERED_MAX = 512
"""Addresses of peers kept on disk for the next start."""

CONNECTION_BUFFERED_BYTES_MAX = 8 * MIB
"""Bytes of one connection that arrived and nobody has read yet, over all its streams."""

BUFFERED_BYTES_MAX = 64 * MIB
"""The same of all connections together; beyond, those who have more than their share go."""

WINDOW_BYTES_MAX = 1 * MIB
"""To what a Yamux window of ours grows: one request of the largest kind, at once."""

FRAME_WRITE_SECONDS_MAX = 10.0
"""A peer whose socket takes nothing for so long is gone: every write to it waits for this one."""

CONNECTIONS_OUTBOUND_RESERVED = 72
"""Of CONNECTIONS_MAX, how many no inbound connection may take: else strangers could seal us off."""

UPGRADE_SECONDS_MAX = 5.0
"""From an open TCP connection to Noise and Yamux; a half-open one costs its address a slot."""

HELLO_SECONDS_MAX = 8.0
"""From a connection to knowing that the peer is of our grid."""

KEEPALIVE_SECONDS = 10.0
"""After so much silence of a peer we ask whether it is still there."""

KEEPALIVE_ANSWER_SECONDS_MAX = 10.0
"""What a busy machine may take to say that it is; afterwards its requests fail."""

REQUEST_BODY_BYTES_MAX = FRAME_BYTES_MAX - 1 * KIB
"""Body of a request or answer: a frame less the method's name and CBOR heads."""

ERROR_MESSAGE_BYTES_MAX = 1 * KIB
"""Of an error that travels; longer ones are cut."""

CONTROL_QUEUE_FRAMES = 2
"""Frames waiting for the writer of one control stream; who wants to add more waits."""

PEER_EVENTS_QUEUE_MAX = 1024
"""Ups and downs queued for one reader, before it counts as one that stopped reading."""

PEER_ADDRESSES_MAX = 16
"""Addresses kept of one peer."""

ADDRESS_BYTES_MAX = 256
"""One multiaddr: a DNS name of 253 bytes would be too long, and is."""

ADDRESS_BOOK_PEERS_MAX = 16_384
"""Peers whose addresses are kept in memory; the least recently learnt goes first."""

GOSSIP_PER_SECOND_MAX = 200.0
"""What we publish, sustained, and everybody has to hear: at 0.8 ms of CPU each (measured among
real processes, with one signature to check) a sixth of a core of every node of the grid."""

GOSSIP_BURST_MESSAGES = 64
"""What we publish back to back: as much as may wait for the next push to a peer."""

GOSSIP_MESSAGE_BYTES = 4 * KIB
"""A longer message counts as several; nearly all records are shorter."""

GOSSIP_PEER_PER_SECOND_MAX = 1000.0
"""New items that we look at from one peer, sustained: each costs a signature check."""

GOSSIP_PEER_BURST_MESSAGES = 2000
"""The same at once: what a neighbour has kept for one that just joined."""

GOSSIP_STREAMS_PER_PEER_MAX = 2
"""Inbound gossip streams of one peer: the one in use and its successor."""

FAULTS_BURST = 16
"""What a peer may do wrong at once before it is shunned, in weights of `standing.Fault`."""

FAULTS_FORGIVEN_PER_SECOND = 0.02
"""How fast a peer's standing recovers: one that answers every pull with garbage is shunned."""

FAULTY_PEERS_MAX = 4096
"""Peers whose faults are remembered, connected or not; the oldest are forgiven first."""

SHUN_SECONDS = 300.0
"""How long a peer that we hung up on is refused."""

SHUNNED_PEERS_MAX = 4096
"""Peers that we remember having hung up on; the oldest is forgiven first."""

DIAL_STAGGER_SECONDS = 0.25
"""Between attempts at the addresses of one peer (RFC 8305 calls it connection attempt delay)."""

OUTBOUND_WANTED = 6
"""Neighbours that we choose: four in distinct prefixes must be had though one place goes round;
with as many that choose us, they are the 6 to 12 that gossip wants."""

WANDER_SECONDS = 600.0
"""How often one place goes to an address chosen from all: an attacker who is all that a node sees
does not stay it for long. Each costs a handshake on both sides."""

WANDER_AHEAD_SECONDS = 90.0
"""How long before fresh addresses are gathered, to choose from."""

LASTED_SECONDS_MIN = 60.0
"""A peer that hangs up sooner counts as one that did not answer: else both would dial for ever."""

ANCHORS_MAX = 4
"""Neighbours that are tried first after a restart. With more, a wrong one among them would
hardly ever be exchanged."""

ANCHOR_SECONDS_MIN = 1800.0
"""How long a neighbour lasts before it may be an anchor: whoever wants to be one has to behave."""

ANCHORS_STORED_SECONDS = 300.0
"""How often anchors are written to disk; they change by the half hour."""

INBOUND_PEERS_MAX = 120
"""Peers that connected to us. Beyond, one of them goes for each that comes; see `eviction`."""

ON_DEMAND_PEERS_MAX = 48
"""Connections that requests opened, say to a node that hosts something of ours; idle ones go."""

EVICTION_SPARES_USEFUL = 16
"""Inbound peers that brought us something lately, and keep their place for it."""

EVICTION_SPARES_PREFIXES = 32
"""Prefixes of which the oldest inbound peer keeps its place."""

DIALS_PER_SECOND = 0.5
"""Addresses that discovery tries, sustained: peers can name any number of dead ones."""

DIALS_BURST = 16
"""Addresses that discovery tries at once after a quiet time: a start is quick."""

CANDIDATE_FAILURES_MAX = 8
"""After so many failures, some five minutes, an address that was only heard of is forgotten."""

ASK_SECONDS_MAX = 60.0
"""Pause between asking peers for others, once their answers bring nothing new; grows up to it."""

DISCOVERY_RETRY_SECONDS_MIN = 1.0
"""Pause after a first failure to reach an address; doubles up to the maximum, with jitter."""

DISCOVERY_RETRY_SECONDS_MAX = 60.0
"""A seed that comes back is found within a minute."""

NEARBY_PEERS_MAX = 256
"""Nodes on the local network that are remembered; anybody there can announce any number."""

DISCOVERY_ROUND_SECONDS = 2.0
"""How often discovery looks whether peers are wanted and addresses are due."""

CANDIDATES_MAX = 1024
"""Addresses that discovery considers; peers can name any number of bad ones."""

PEERS_TOLD_MAX = 16
"""Peers that one node names to another at once."""

MDNS_NAMES_QUEUE_MAX = 64
"""Announcements on the local network that wait to be looked at; later ones come again."""

MDNS_RESOLVE_SECONDS_MAX = 3.0
"""For one announced name to be resolved."""

DISCOVERY_DIALS_MAX = 4
"""Addresses that discovery tries at once: a Noise handshake costs 30 to 60 ms of CPU."""

BULK_FRAME_BYTES = 256 * KIB
"""Per-record Python cost dominates: 16 KiB frames cost 3 to 4 times the CPU of these."""

BULK_TOKEN_SECONDS_MAX = 10.0
"""How long a token for a bulk connection is good."""

BULK_CONNECTIONS_MAX = 64
"""Bulk connections that one node serves at once."""

BULK_IDLE_SECONDS_MAX = 60.0
"""A bulk connection that carries nothing for so long is closed."""

BULK_CONNECTIONS_PER_PEER_MAX = 8
"""Bulk connections of one peer that a node serves at once; two fill any link."""

BULK_CONNECTIONS_PER_PREFIX_MAX = 48
"""Bulk connections of all peers of one prefix: keys cost nothing, and others want some too."""

BULK_DIAL_SECONDS_MAX = 2.0
"""For TCP to the bulk port of a peer that we are connected to; then the lane runs over libp2p."""

BULK_DIRECT_RETRY_SECONDS = 300.0
"""How long a peer whose bulk port could not be reached is not dialled there again."""

BULK_UNREACHED_MAX = 1024
"""Such peers that are remembered; the oldest is forgotten first."""

BULK_TOKENS_MAX = 1024
"""Tokens handed out and not yet shown; the oldest goes first."""

BULK_GREETING_SECONDS_MAX = 5.0
"""For the token on a new bulk connection: it is sent with the first packet."""

BULK_GREETINGS_PER_ADDRESS_MAX = 16
"""Bulk connections from one address that have not shown a token yet."""

BULK_LINGER_SECONDS_MAX = 1.0
"""How long a closing side waits for the other to close: bytes on their way would be lost else."""

PEER_MS_PER_SECOND = 250.0
"""CPU that requests of one peer may take, sustained: a quarter of a core."""

PEER_BURST_MS = 3000.0
"""CPU that requests of one peer may take after a quiet time: a catch-up at joining is quick."""

PREFIX_MS_PER_SECOND = 500.0
"""CPU that requests of all peers of one prefix may take: keys cost nothing, prefixes do."""

PREFIX_BURST_MS = 10_000.0
"""The same after a quiet time: the nodes of a farm start together."""

BUDGETS_MAX = 4096
"""Peers and prefixes whose use is remembered; who is forgotten starts with a full budget."""

HEAVY_MS_MIN = 5.0
"""Requests that take so much CPU take turns; others are done before it would matter."""

HEAVY_REQUESTS_AT_ONCE = 4
"""Heavy requests worked on at once: all but one wait, for a disk or until others had a turn."""

HEAVY_REQUESTS_PER_PEER_MAX = 4
"""Of one peer's, how many wait or have an answer that it has not read: these are large."""

MODEST_MS_PER_SECOND = 10.0
"""Who takes no more CPU than this, a query every two seconds, does not wait for his prefix."""

MODEST_BURST_MS = 300.0
"""The same after a quiet time."""

REQUEST_CHARGE_MS_MAX = 500.0
"""Charged for one request: what takes longer, as the first query after a start, serves others."""

REQUEST_OVERHEAD_BYTES = 256
"""What a request takes in memory besides its body."""

REQUEST_BYTES_PER_PEER_MAX = 2 * MIB
"""Requests of one peer held in memory; one of the largest kind always may be."""

REQUEST_BYTES_MAX = 64 * MIB
"""Requests held in memory of all peers, in equal shares."""
