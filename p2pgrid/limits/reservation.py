"""Limits of reservations."""

from p2pgrid.limits.wire import RECORD_BYTES_MAX
from p2pgrid.units import KIB, MIB

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

QUOTES_SHARE_PERMILLE_MAX = 500
"""Of a node's capacity, what unpaid quotes may hold together: a hold is free and a deposit for a
minute costs little, so the rest stays for those who ask meanwhile."""

LARGE_QUOTE_PAUSE_SECONDS = 300
"""A quote above that share is given alone, and when it lapses unpaid the next follows only after
this time: whoever renews such holds with new keys blocks the node for a fifth of the time."""

REQUEST_BEHIND_SECONDS_MAX = 300
"""How far back a reservation may start: the consumer's clock may be slow, and asking many nodes
takes a while. Time before it runs is not billed."""

REQUEST_AHEAD_SECONDS_MAX = 300
"""How far ahead a reservation may start, by a fast clock: its capacity is kept free until then, and
cancelled before the start it costs nothing."""

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

LOGS_KEPT_BYTES_MAX = 64 * MIB
"""All kept logs of a node together, the oldest go first: hundreds of whole ones, and room in memory
and on disk for a small machine."""

DOCUMENT_BYTES_MAX = 64 * KIB
"""A reservation document that a person wrote; the record made of it has the same limit."""

STATUS_POLL_SECONDS = 0.5
"""How often a consumer asks how its deployment goes: an answer costs a millisecond."""

START_SECONDS_MAX = 660.0
"""What a consumer waits for its workloads to run: the node's own limit and some slack."""

SETTLE_SECONDS_MAX = 60.0
"""What a consumer waits for a settlement after it cancelled; usually it takes under a second."""

UNSETTLED_KEPT_MS = 24 * 3600 * 1000
"""How long after its last moment to settle a node waits for the consumer to reclaim; then the
reservation is over."""

GONE_SECONDS_MAX = 5.0
"""What a cancel waits for the node to say that the workloads are gone: removing takes a second."""

RENTAL_WATCH_SECONDS = 30.0
"""How often a consumer looks after what it rents: it goes on with what a crash cut short."""

PAYMENT_DOUBT_MS = 24 * 3600 * 1000
"""How long a consumer looks for a payment that was not certified in time: then it is refunded."""

RESERVATION_BYTES_MAX = 4 * RECORD_BYTES_MAX
"""A stored reservation: the request, which may be as long as a record, and what became of it."""

PROGRESS_SECONDS = 0.1
"""How often a long operation tells how far it is; smooth to the eye."""
