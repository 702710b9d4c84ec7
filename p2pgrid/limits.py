"""How long we wait and how much we hold. Every such number lives here, with its reason.

Names end in their unit. Nothing here is read from a configuration file.
"""

from p2pgrid.units import GIB, HOUR_MS, KIB, MIB, SECOND_MS

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

STREAMS_PER_CONNECTION_MAX = 64
"""Live inbound streams on one connection; ours needs five: control, gossip, identify and push."""

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

WINDOW_BYTES_MAX = 1 * MIB
"""To what a Yamux window of ours grows: one request of the largest kind, at once."""

FRAME_WRITE_SECONDS_MAX = 10.0
"""A peer whose socket takes nothing for so long is gone: every write to it waits for this one."""

CONNECTIONS_OUTBOUND_RESERVED = 40
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

CONTROL_QUEUE_FRAMES = 8
"""Frames waiting for the writer of one control stream; who wants to add more waits."""

PEER_EVENTS_QUEUE_MAX = 1024
"""Ups and downs queued for one reader, before it counts as one that stopped reading."""

PEER_ADDRESSES_MAX = 16
"""Addresses kept of one peer."""

ADDRESS_BYTES_MAX = 256
"""One multiaddr: a DNS name of 253 bytes would be too long, and is."""

ADDRESS_BOOK_PEERS_MAX = 16_384
"""Peers whose addresses are kept in memory; the least recently learnt goes first."""

GOSSIP_PER_SECOND_MAX = 50.0
"""What we publish, sustained. Measured on 4 nodes: 50/s arrive all, of 180/s a sixth is lost."""

GOSSIP_BURST_MESSAGES = 16
"""What we publish back to back: half of libp2p's 32-deep queues, which drop silently."""

GOSSIP_PEER_PER_SECOND_MAX = 200.0
"""What we look at from one peer, sustained: each message costs 1 ms of CPU, valid or not."""

GOSSIP_PEER_BURST_MESSAGES = 1000
"""What we look at from one peer at once: a whole cache of a neighbour that just joined us."""

GOSSIP_STREAMS_PER_PEER_MAX = 2
"""Inbound gossip streams of one peer: the one in use and its successor."""

GOSSIP_CHECK_SECONDS = 10.0
"""How often we look for connected peers that libp2p failed to register for gossip."""

REJECTS_BURST = 16
"""Invalid gossip messages of one peer at once, before we hang up on it."""

REJECTS_FORGIVEN_PER_SECOND = 0.1
"""How fast a peer's standing recovers."""

SHUN_SECONDS = 300.0
"""How long a peer that we hung up on is refused."""

SHUNNED_PEERS_MAX = 4096
"""Peers that we remember having hung up on; the oldest is forgiven first."""

DIAL_STAGGER_SECONDS = 0.25
"""Between attempts at the addresses of one peer (RFC 8305 calls it connection attempt delay)."""

PEERS_WANTED = 8
"""Neighbours that discovery keeps: gossip wants 6 to 12."""

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

BULK_TOKENS_MAX = 1024
"""Tokens handed out and not yet shown; the oldest goes first."""

BULK_GREETING_SECONDS_MAX = 5.0
"""For the token on a new bulk connection: it is sent with the first packet."""

BULK_GREETINGS_PER_ADDRESS_MAX = 16
"""Bulk connections from one address that have not shown a token yet."""

BULK_LINGER_SECONDS_MAX = 1.0
"""How long a closing side waits for the other to close: bytes on their way would be lost else."""

# --- store ----------------------------------------------------------------------------------------

VALUE_BYTES_MAX = 16 * MIB
"""No value of ours comes near; a bug that writes larger ones is caught here."""

STORE_OPEN_FILES_MAX = 128
"""Table files that one LevelDB keeps open: four stores stay far below a process's usual 1024."""

COMMIT_BYTES_MAX = 4 * MIB
"""Waiting commits that share one sync write: more would only make the first ones wait longer."""

# --- chunks and flists ----------------------------------------------------------------------------

CHUNK_BYTES = 512 * KIB
"""Plain bytes in one chunk of an flist (the last of a file may be shorter); fixed by rfs."""

CHUNK_BLOB_BYTES_MAX = CHUNK_BYTES + CHUNK_BYTES // 6 + 64
"""An encrypted chunk: raw snappy grows by at most n/6 + 32 bytes, the AES tag adds 16."""

FLIST_BYTES_MAX = 256 * MIB
"""One `.fl` file: half a million entries take about 100 MB."""

PACK_BYTES_MAX = 256 * MIB
"""A pack file that is longer gets no more chunks; what compaction later moves at once."""

CHUNK_GROUP_BYTES_MAX = 16 * MIB
"""Chunks of several writers that share one fsync; bounds what waits for it in memory."""

CHUNKS_PER_REQUEST_MAX = 256
"""Ids in one request: 8 KiB of them, and at most 150 MB of answer."""

ANSWER_CHUNKS_MAX = 64
"""Chunks that are read, sent and stored at once: small ones share the cost of a thread hop."""

ANSWER_BYTES_MAX = 4 * CHUNK_BLOB_BYTES_MAX
"""Bytes of chunks that are read, sent and stored at once, about 2.4 MB: four full chunks."""

ANSWER_FRAME_SECONDS_MAX = 30.0
"""A peer that takes longer to take in one frame is hung up on: it holds our memory."""

ANSWERS_IN_MEMORY_MAX = 64
"""Answers that a node holds for all its peers at once: 150 MB."""

HOLDER_SILENCE_SECONDS_MAX = 10.0
"""A holder that owes us chunks and sends nothing for so long has failed."""

HOLDERS_AT_ONCE_MAX = 8
"""Holders that one transfer asks at the same time; more only add connections."""

HOLDER_FAILURES_MAX = 3
"""Failures in a row after which a holder is out; a restart in between is forgiven."""

HOLDER_RETRY_SECONDS = 1.0
"""Pause after a holder's first failure; doubles with each one that follows."""

HOLDER_WINDOW_SECONDS = 1.0
"""Chunks are asked for this long ahead at the rate of their holder: more than any round trip."""

HOLDER_WINDOW_START = 8
"""Chunks that a holder of unknown rate is asked for at once."""

HOLDER_WINDOW_MIN = 4
"""Chunks in flight at the slowest holder, so that it never waits for our next request."""

LATE_CHUNK_SECONDS = 10.0
"""A chunk that did not come for so long is asked of somebody else too, whatever it costs."""

DUPLICATES_PERMILLE_MAX = 50
"""Of the wanted chunks: how many may be asked twice to finish earlier."""

STORING_ANSWERS_MAX = 4
"""Answers of one transfer that are hashed and stored at once: enough for two cores and a disk."""

TRANSFER_TICK_SECONDS = 0.5
"""How often a transfer looks for late chunks and holders to try again."""

FLIST_HEDGE_SECONDS = 3.0
"""A holder that has not given an flist after so long is not waited for alone any more."""

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

CONTROL_BACKLOG = 100
"""Commands that wait to be heard at once: a script may start dozens."""

HOLDER_QUESTIONS_AT_ONCE = 8
"""Flists of one list whose holders a light peer asks for at once; each question goes to 3 peers."""

FLISTS_LISTED = 100
"""Names of flists in one answer unless more are asked for."""

HISTORY_LISTED = 50
"""Entries of an account's history in one answer unless more are asked for."""

LISTED_MAX = 10_000
"""Rows in one answer of the control API: far more than anybody reads."""

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

IMAGE_INDEX_DEPTH_MAX = 4
"""Indexes that name indexes, until there must be a manifest."""

IMAGE_MANIFEST_BYTES_MAX = 4 * MIB
"""A manifest, index or configuration; the limit that registries themselves have."""

IMAGE_CONFIG_ITEMS_MAX = 1024
"""Arguments, variables, ports, labels of an image configuration, each."""

TAR_HEADER_BYTES_MAX = 1 * MIB
"""Extended headers of one tar entry; they are held in memory."""

TAR_SPARSE_SEGMENTS_MAX = 100_000
"""Pieces of data in one sparse file of a layer."""

TAR_TRAILER_BYTES_MAX = 16 * MIB
"""Padding behind the end of an archive; tar itself writes at most one record of 10 KiB."""

ZSTD_WINDOW_BYTES_MAX = 128 * MIB
"""Memory that a zstd layer may ask for; what the zstd tool itself takes without being told."""

FLIST_STEPS_MAX = 2_000_000_000
"""Virtual machine steps that SQLite may take for one flist: a hostile file must not run for ever."""

FLIST_TAGS_MAX = 64
"""Tags of one flist."""

FLIST_TAG_BYTES_MAX = 1 * MIB
"""One tag of an flist; the largest is the configuration of the image."""

ENCODE_BATCH_CHUNKS = 32
"""Chunks handed to the store at a time, 16 MiB: one durable write for all of them."""

ENCODE_TASK_BYTES = 2 * MIB
"""Plain bytes that one thread encodes at a time: long enough that handing over costs nothing."""

READ_BATCH_CHUNKS = 32
"""Chunks read from the store and opened at a time while unpacking, 16 MiB."""

PROGRESS_BYTES = 4 * MIB
"""How often a long task says how far it is; a person sees no finer steps."""

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

RENTAL_WATCH_SECONDS = 30.0
"""How often a consumer looks after what it rents: it goes on with what a crash cut short."""

PAYMENT_DOUBT_MS = 24 * 3600 * 1000
"""How long a consumer looks for a payment that was not certified in time: then it is refunded."""

RESERVATION_BYTES_MAX = 4 * RECORD_BYTES_MAX
"""A stored reservation: the request, which may be as long as a record, and what became of it."""

PROGRESS_SECONDS = 0.1
"""How often a long operation tells how far it is; smooth to the eye."""

# --- ledger ---------------------------------------------------------------------------------------

OPERATION_BYTES_MAX = 4 * KIB
"""A signed operation: a transfer with the most outputs has 2.8 KiB."""

OPERATIONS_PER_BATCH_MAX = 200
"""Operations under one certificate: 200 transfers of 210 bytes fit one gossip message."""

BATCH_OPERATION_BYTES_MAX = 48 * KIB
"""Operations of one batch together; leaves room for 128 signatures within GOSSIP_BYTES_MAX."""

THREAD_OPERATIONS_MIN = 5
"""Signatures that are worth a thread: below, the hop costs more than it gives back."""

BATCH_INTERVAL_MS = 100
"""How long an entry node gathers operations: one witness signature is shared by all of them."""

CLOCK_AHEAD_MS_MAX = 120_000
"""How far an operation's time may be ahead of a witness's clock, and a cancel's in its past."""

RECLAIM_DELAY_MS = 600_000
"""After the end and the grace of an escrow, before its consumer may take everything back."""

GRACE_SECONDS_MAX = 30 * 24 * 3600
"""Longest grace of an escrow: a deposit must not be locked for ever by a mistyped number."""

OPERATIONS_UNDER_WAY_MAX = 64
"""Of one account, voted for and not certified; wallets have one."""

ENTRY_OPERATIONS_MAX = 10_000
"""Operations that an entry node holds at once; more are refused as busy."""

ENTRY_PROPOSALS_MAX = 16
"""Batches that an entry node has under way at once."""

SUBMIT_SECONDS_MAX = 20.0
"""What a submitter waits for a certificate before it is told that too few witnesses answer."""

PROPOSAL_PATIENCE_MS = 300
"""How long an entry node waits for slow witnesses when those that answered disagree."""

REFUSED_RETRY_MS = 400
"""Until a witness that was behind is asked again: time to fetch what it lacked."""

WITNESS_ANSWER_SECONDS_MAX = 5.0
"""What an entry node waits for one witness: a batch takes 20 ms and one fsync."""

WITNESS_RETRY_MS_MIN = 200
"""First pause before a witness that did not answer is asked again; doubles."""

WITNESS_RETRY_MS_MAX = 5_000
"""Longest such pause: a restarted witness is back in use after as long."""

LEDGER_RECONCILE_SECONDS = 3.0
"""Pause between two comparisons with a random peer: what gossip lost arrives within seconds."""

LEDGER_NUDGE_SECONDS_MIN = 0.2
"""Between two pulls from one peer because it knows what we do not."""

LEDGER_CAUGHT_UP_SECONDS_MAX = 10.0
"""What a payment right after the start waits for the first comparison with a peer."""

LEDGER_PENDING_RETRY_SECONDS = 30.0
"""Between two attempts to get an operation of our own certified that failed before."""

EVIDENCE_PER_ANSWER = 16
"""Proofs in one answer; one has at most 17 KiB."""

ALARMS_SHOWN_MAX = 100
"""Slots with two certificates named in one answer; one is reason enough to stop."""

LEDGER_ASKED_PEERS = 3
"""Peers that a light peer asks for one answer."""

LEDGER_TRIED_PEERS_MAX = 8
"""Peers that a light peer tries for one question before it gives up."""

EVIDENCE_PAGES_MAX = 16
"""Pages of proofs that a light peer takes from one peer."""

HISTORY_ENTRIES_MAX = 500
"""Entries in one answer about an account; fits a frame."""

GENESIS_BYTES_MAX = 1 * MIB
"""A genesis file: 20,000 first balances."""

# --- explorer -------------------------------------------------------------------------------------

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
"""One record a minute of each register: gossip costs every node 4 to 6 ms a message."""

RECORD_BURST = 5
"""Records of one register that may follow at once, such as when workloads start together."""

CAPACITY_CHANGE_PERCENT = 5
"""Less change of the free capacity is not worth a message to everybody."""

ANNOUNCE_CHECK_SECONDS = 5.0
"""How often a node looks whether what it says of itself is still true."""

EXPLORER_RECORD_BYTES_MAX = 4 * KIB
"""A record of the explorer; a full node announcement takes about 600 bytes."""

FARM_MEMBERS_BYTES_MAX = 40 * KIB
"""A record that lists the most nodes a farm may have."""

EXPLORER_REGISTERS_MAX = 100_000
"""Records held, about 200 MB of memory; beyond, those not renewed for longest make room."""

EXPLORER_REGISTERS_PER_AUTHOR_MAX = 1000
"""Records of one key: a publisher has that many names of flists."""

EXPLORER_UNWANTED_MAX = 50_000
"""Ids of outdated records remembered, so that peers that still hold them are not asked again."""

PULL_PAUSES_SECONDS = (2.0, 5.0, 10.0, 20.0)
"""Between the first pulls after a start: gossip reaches a new node only once its mesh has formed."""

PULL_PAUSE_SECONDS_MIN = 30.0
"""Between pulls from random peers later on."""

PULL_PAUSE_SECONDS_MAX = 60.0
"""Pulls are spread, so that nodes started together do not pull together."""

PULL_SECONDS_MAX = 120.0
"""One pull, all pages: a whole grid of 100,000 records over a slow line."""

PULLS_AT_ONCE = 3
"""Peers that came up and are pulled from at the same time; a slow one holds up one of these."""

PULL_VERIFY_BATCH = 32
"""Signatures checked, 3 ms, before other tasks get their turn."""

EXPIRY_SECONDS = 60.0
"""How often records past their lease are dropped; queries leave them out at once."""

QUERY_ROWS_MAX = 200
"""Nodes, farms or names in one answer to a light peer."""

QUERY_PAGES_MAX = 8
"""Answers that a light peer takes from one peer for one question."""

QUERY_PEERS = 3
"""Full peers that a light peer asks: one liar is outvoted, and shows."""

QUERY_PEERS_TRIED_MAX = 9
"""Peers tried when some do not answer."""

# --- workloads ------------------------------------------------------------------------------------

CONTAINER_PIDS_MAX = 1024
"""Processes and threads of one container: far above a web server, far below a fork bomb."""

SHARED_MEMORY_BYTES = 64 * MIB
"""`/dev/shm` of a container, as Docker gives; what is in it counts as the container's memory."""

LOG_BYTES_MAX = 4 * MIB
"""A container's log grows to this, then becomes the one older log that is kept."""

LOG_CHECK_SECONDS = 1.0
"""How often logs are measured: a container can overrun by what the disk takes in this time."""

LOG_TAIL_BYTES_MAX = 256 * KIB
"""What one request for logs may return: it must fit in a frame."""

PASSWD_BYTES_MAX = 1 * MIB
"""`/etc/passwd` or `/etc/group` of an image: thousands of users."""

STOP_SECONDS_MAX = 2.0
"""Between the stop signal and the kill. Its paid time is over; most programs end in milliseconds,
and those that ignore the signal as process 1 never would."""

TOOL_SECONDS_MAX = 60.0
"""One call of runc, nft or mkfs: they take a tenth of a second, on a starved machine a few."""

DEAD_SECONDS_MAX = 10.0
"""A killed process is gone after this, or hangs in the kernel and needs a human."""

RESTART_SECONDS_MIN = 0.5
"""Before the first restart; doubled for each further end soon after a start."""

RESTART_SECONDS_MAX = 60.0
"""Between two restarts of a container that never stays up."""

RESTART_STABLE_SECONDS = 30.0
"""A container that ran for so long was up: its next restart comes quickly again."""

EXITS_MAX = 256
"""Ends of containers queued for whoever keeps the reservations."""

# --- farming --------------------------------------------------------------------------------------

SEEK_PROBES = 64
"""Random reads of a disk; the median tells a disk with heads from one without."""

SEEK_PROBE_SECONDS_MAX = 3.0
"""What the reads of one disk may take: 64 seeks of a slow disk take 1.3 s."""

SEEK_MICROSECONDS_SSD_MAX = 2000
"""A head needs 4 to 15 ms for a random place; flash 0.1 ms, behind a hypervisor 0.3 ms."""

PROBE_FILE_BYTES = 64 * MIB
"""A file to probe when the device itself cannot be read; too large to lie in one spot."""

HARDWARE_TOOL_SECONDS_MAX = 20.0
"""What lsblk may take on a machine with many or sick disks."""

SYSTEM_MEMORY_PERCENT = 10
"""Memory that a node keeps for its own programs, and at least SYSTEM_MEMORY_BYTES_MIN."""

SYSTEM_MEMORY_BYTES_MIN = 2 * GIB
"""What Zero-OS keeps as well; on small machines half of what there is."""

CACHE_DISK_PERCENT = 10
"""Share of the usable disk kept for chunks and unpacked images, within the two limits below."""

CACHE_DISK_BYTES_MIN = 5 * GIB
"""As Zero-OS starts with; on small disks a quarter of what is usable."""

CACHE_DISK_BYTES_MAX = 100 * GIB
"""More images than this share no node needs at once."""

CAPACITY_CHECK_SECONDS = 3600.0
"""How often a node measures anew what other programs have left of the disk."""

CAPACITY_DRIFT_BYTES = 1 * GIB
"""Other programs always write a little: less is not worth a new announcement."""

NODES_LISTED = 100
"""Nodes in one answer unless more are asked for."""

# --- node -----------------------------------------------------------------------------------------

HELD_CHECK_SECONDS = 60.0
"""How often a node looks whether what it holds has changed, besides when it is told."""
