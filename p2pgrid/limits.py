"""How long we wait and how much we hold. Every such number lives here, with its reason.

Names end in their unit. Nothing here is read from a configuration file.
"""

from p2pgrid.units import GIB, KIB, MIB

# --- wire -----------------------------------------------------------------------------------------

RECORD_BYTES_MAX = 64 * KIB
"""Any record: the largest is a certified batch of operations; gossip carries no more anyway."""

INTEGER_MAX = 2**63 - 1
"""Fits every language's signed 64 bit integer."""

NESTING_MAX = 8
"""Deepest array in an array of any record, with room to grow."""

FRAME_BYTES_MAX = 1 * MIB
"""One request or answer on the control stream."""

# --- net ------------------------------------------------------------------------------------------

GOSSIP_BYTES_MAX = 60 * KIB
"""What one gossip message may carry; a larger one would block the 32-deep queues of libp2p."""

DIAL_SECONDS_MAX = 8.0
"""A peer that accepts TCP but stays mute blocks libp2p for over 100 s otherwise."""

REQUEST_SECONDS_MAX = 10.0
"""What a caller waits for one answer unless it says otherwise."""

HANDLER_SECONDS_MAX = 60.0
"""What one incoming request may occupy us."""

CONNECTIONS_MAX = 200
"""Open connections of one node: gossip wants 6 to 12, requests a few more."""

CONNECTIONS_PER_ADDRESS_MAX = 32
"""Inbound connections from one IP address, half-open ones included."""

STREAMS_PER_CONNECTION_MAX = 256
"""Live inbound streams on one connection."""

REQUESTS_PER_PEER_MAX = 64
"""Requests of one peer that we work on at once; the others wait in its own socket."""

WINDOW_OVERRUN_BYTES_MAX = 256 * KIB
"""What a peer may send beyond its Yamux window before we hang up: one window of slack."""

INBOX_MESSAGES_MAX = 4096
"""Gossip messages queued for a consumer before new ones are dropped; catch-up brings them later."""

PEERS_REMEMBERED_MAX = 512
"""Addresses of peers kept on disk for the next start."""

BULK_FRAME_BYTES = 256 * KIB
"""Per-record Python cost dominates: 16 KiB frames cost 3 to 4 times the CPU of these."""

BULK_TOKEN_SECONDS_MAX = 10.0
"""How long a token for a bulk connection is good."""

BULK_CONNECTIONS_MAX = 64
"""Bulk connections that one node serves at once."""

BULK_IDLE_SECONDS_MAX = 60.0
"""A bulk connection that carries nothing for so long is closed."""

# --- store ----------------------------------------------------------------------------------------

VALUE_BYTES_MAX = 16 * MIB
"""No value of ours comes near; a bug that writes larger ones is caught here."""

STORE_OPEN_FILES_MAX = 128
"""Table files that one LevelDB keeps open: four stores stay far below the usual 1024 of a process."""

COMMIT_BYTES_MAX = 4 * MIB
"""Waiting commits that share one sync write: more would only make the first ones wait longer."""

# --- chunks and flists ----------------------------------------------------------------------------

CHUNK_BYTES = 512 * KIB
"""Plain bytes in one chunk of an flist (the last of a file may be shorter); fixed by rfs."""

CHUNK_BLOB_BYTES_MAX = CHUNK_BYTES + CHUNK_BYTES // 6 + 64
"""An encrypted chunk: raw snappy grows by at most n/6 + 32 bytes, the AES tag adds 16."""

FLIST_BYTES_MAX = 256 * MIB
"""One `.fl` file: half a million entries take about 100 MB."""

IMAGE_BYTES_MAX = 64 * GIB
"""Plain bytes that one image may unpack to."""

IMAGE_ENTRIES_MAX = 2_000_000
"""Files, directories and links of one image."""

# --- reconcile ------------------------------------------------------------------------------------

RECONCILE_ANSWER_BYTES_MAX = 512 * KIB
"""Ids or records in one answer: half a frame, so that other answers are not kept waiting."""

RECONCILE_FETCH_IDS_MAX = 1024
"""Records asked for at once; of the small ones that is about what one answer holds."""

RECONCILE_MISSING_MAX = 50_000
"""Ids held in memory during one pull, 3 MB; a peer that names more is asked again afterwards."""

# --- command line and control API -----------------------------------------------------------------

CONTROL_ANSWER_SECONDS_MAX = 600.0
"""What a command waits for its node: converting a large image says nothing for minutes."""

SOCKET_PATH_BYTES_MAX = 107
"""What Linux takes for the path of a Unix socket."""

CONTROL_BODY_BYTES_MAX = 1 * MIB
"""A request to the control socket: reservation documents are far smaller."""

LOG_POLL_SECONDS = 0.5
"""How often `logs -f` asks; a person reads no faster."""

LOG_ANSWER_BYTES_MAX = 256 * KIB
"""One piece of a log; more is asked for by offset."""

LOG_FILE_BYTES_MAX = 10 * MIB
"""One log file of the node program; weeks at the usual level."""

LOG_FILES_KEPT = 5
"""Rotated log files kept besides the current one."""

# --- flist ----------------------------------------------------------------------------------------

NAME_BYTES_MAX = 255
"""One name in an image; what Linux file systems take."""

IMAGE_PATH_BYTES_MAX = 4096
"""One path in an image and the target of one symbolic link: PATH_MAX of Linux."""

IMAGE_DEPTH_MAX = 128
"""Directories in directories of an image; unpacking holds one file descriptor for each."""

IMAGE_LAYERS_MAX = 512
"""Layers of one image; Docker itself stops at 127."""

IMAGE_LAYER_BYTES_MAX = 32 * GIB
"""Compressed bytes of one layer."""

IMAGE_MANIFEST_BYTES_MAX = 4 * MIB
"""A manifest, index or configuration; the limit that registries themselves have."""

IMAGE_CONFIG_ITEMS_MAX = 1024
"""Arguments, variables, ports, labels of an image configuration, each."""

TAR_HEADER_BYTES_MAX = 1 * MIB
"""Extended headers of one tar entry; they are held in memory."""

TAR_SPARSE_SEGMENTS_MAX = 100_000
"""Pieces of data in one sparse file of a layer."""

FLIST_STEPS_MAX = 2_000_000_000
"""Virtual machine steps that SQLite may take for one flist: a hostile file must not run for ever."""

FLIST_TAGS_MAX = 64
"""Tags of one flist."""

FLIST_TAG_BYTES_MAX = 1 * MIB
"""One tag of an flist; the largest is the configuration of the image."""

ENCODE_BATCH_CHUNKS = 32
"""Chunks handed to the store at a time, 16 MiB: one durable write for all of them."""

FETCH_BATCH_CHUNKS = 256
"""Chunks asked from peers at a time: the most that one request carries."""

REGISTRY_SECONDS_MAX = 30.0
"""What an image registry may take to connect, and between two pieces of an answer."""

REGISTRY_ATTEMPTS = 4
"""How often a request to an image registry is tried, with growing pauses in between."""

REGISTRY_PAUSE_SECONDS = 0.5
"""Before the second attempt; doubles with each further one."""

REGISTRY_REDIRECTS_MAX = 5
"""Registries send clients to their storage service once or twice."""

# --- demo -----------------------------------------------------------------------------------------

DEMO_START_SECONDS_MAX = 120.0
"""All processes together import libp2p, 3 s of CPU each, on whatever machine this is."""

DEMO_STOP_SECONDS_MAX = 30.0
"""What all processes together get to stop cleanly."""

DEMO_GOSSIP_SECONDS_MAX = 60.0
"""Until every peer has heard something; seconds when all is well, one reconcile when gossip lost it."""

DEMO_POLL_SECONDS = 0.1
"""How often the demo looks again while it waits."""

DEMO_PAGE_SECONDS_MAX = 20.0
"""From the start of a container to its first web page."""

DEMO_PAGE_BYTES_MAX = 64 * KIB
"""What the demo prints of a page."""

# --- reservations ---------------------------------------------------------------------------------

CANDIDATE_AGE_MS_MAX = 7 * 3600 * 1000
"""Nodes announce themselves anew every 6 hours; one that missed that has probably gone."""

QUOTE_SECONDS = 60
"""How long a node holds capacity for a consumer that has not paid yet: a payment takes seconds."""

QUOTE_SLACK_SECONDS = 10
"""A payment made in the last moment of a quote needs this long to be certified and to arrive."""

QUOTES_PER_CONSUMER_MAX = 8
"""Quotes that one consumer may hold open at a node, or it could block the node for nothing."""

QUOTES_MAX = 256
"""Quotes that a node holds open at once; consumer keys cost nothing, so the sum is bounded too."""

REQUEST_AHEAD_SECONDS_MAX = 24 * 3600
"""How far ahead a reservation may start: its capacity is kept free until then, unpaid."""

DEPLOY_SECONDS_MAX = 600.0
"""Fetching a large image over a slow line and starting it; longer counts as failed, and is free."""

TEARDOWN_SECONDS_MAX = 30.0
"""What stopping the node waits for a removal under way; the next start finishes it."""

RESERVATION_RETRY_SECONDS = 2.0
"""First pause before a settlement, removal or message that failed is tried again; then doubled."""

RESERVATION_RETRY_SECONDS_MAX = 60.0
"""Longest such pause."""

ESCROW_WATCH_SECONDS = 2.0
"""How often a node looks up the ledger for a payment or cancellation nobody told it of."""

EVENTS_MAX = 16
"""Events queued for one reservation; whoever brings more waits."""

ENDED_KEPT_MS = 7 * 24 * 3600 * 1000
"""How long a node can still tell how a reservation ended."""

ENDED_KEPT_MAX = 1000
"""Ended reservations that a node remembers; the oldest go first."""

LOG_ANSWER_BYTES_MAX = 256 * KIB
"""Log bytes in one answer; who follows a log asks again."""

LOG_KEPT_BYTES_MAX = 256 * KIB
"""The end of each log that outlives its container, so that the reason of an end can be read."""

DOCUMENT_BYTES_MAX = 64 * KIB
"""A reservation document that a person wrote; the record made of it has the same limit."""

STATUS_POLL_SECONDS = 0.5
"""How often a consumer asks how its deployment goes: an answer costs a millisecond."""

START_SECONDS_MAX = 660.0
"""What a consumer waits for its workloads to run: the node's own limit and some slack."""

SETTLE_SECONDS_MAX = 60.0
"""What a consumer waits for a settlement after it cancelled; usually it takes under a second."""

RECLAIM_SLACK_MS = 10 * 60 * 1000
"""After the end and grace of a reservation, before witnesses give the deposit back unsettled."""
