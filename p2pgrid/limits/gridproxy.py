"""Limits of the REST interface: who asks is a stranger, and his questions cost us CPU."""

from p2pgrid.units import KIB, MIB

PAGE_ROWS = 50
"""Rows of a page unless more are asked for, as gridproxy has it."""

PAGE_ROWS_MAX = 500
"""Rows of one page: a row costs 0.1 ms, and nobody else has a turn meanwhile."""

GPUS_OF_A_ROW_MAX = 8
"""GPUs that a row of a list shows, as many as a large machine has; a node may announce more, at no
cost to it. Its own page shows all."""

PAGES_MAX = 10**9
"""The number of a page, so that counting rows stays far within 64 bits."""

IDS_ASKED_MAX = 500
"""Ids in one filter: each is compared with every row."""

FILTER_TEXT_BYTES_MAX = 256
"""A text to look for, or an id or address."""

FIELDS_MAX = 64
"""Fields of one query; all that there are together are fewer."""

COUNTRIES_TOLD_MAX = 300
"""Countries in the distribution of nodes, those with the most nodes; there are 200 on Earth."""

GPU_TEXTS_SLICE = 200
"""Announcements whose GPUs are read, 10 ms with 64 GPUs in each, before others get their turn."""

LEDGER_FRESH_MS = 10_000
"""How old the list of contracts and twins may be: to make it anew is to visit all of them."""

LEDGER_SLICE = 2000
"""Contracts or accounts looked at, 10 ms, before other tasks get their turn."""

HTTP_HEAD_BYTES_MAX = 16 * KIB
"""The head of a request: the longest list of ids fits."""

HTTP_CONNECTIONS_MAX = 128
"""Connections at once; then the one that has been idle for longest makes place."""

HTTP_CONNECTIONS_PER_SITE_MAX = 16
"""Connections of one address (of one /64 in IPv6); browsers open 6 to a server."""

HTTP_BACKLOG = 64
"""Connections that the kernel holds while we are busy."""

HTTP_HEAD_SECONDS_MAX = 15.0
"""From one answer to the end of the next request's head, and as long as a connection may idle."""

HTTP_SEND_SECONDS_MAX = 20.0
"""For the client to take an answer: 500 rows over 1 Mbit/s take 8 s."""

HTTP_BODY_BYTES_MAX = 6 * MIB
"""One answer: 500 rows of nodes with the longest texts are less. Also what may wait until one
address takes it: who does not read would have us hold a page for each of his connections."""

HTTP_WAITING_BYTES_MAX = 30 * MIB
"""The same of all addresses together."""

HTTP_SMALL_BYTES = 16 * KIB
"""An answer that is sent whatever waits, so that who is refused hears so: 2 MiB with all places."""

HTTP_KERNEL_BYTES = 256 * KIB
"""What the kernel holds of a connection's answers, or it would take 4 MiB: 20 Mbit/s at 100 ms."""

HTTP_FULL_SECONDS = 5
"""When to ask again for what has no room to wait in; by then, most have taken their answers."""

HTTP_READ_BYTES = 16 * KIB
"""Taken from a connection at once."""

HTTP_SITE_MS_PER_SECOND = 200.0
"""CPU that the questions of one address may take in the long run: 20 pages a second."""

HTTP_SITE_BURST_MS = 2000.0
"""And at once: a dashboard asks for dozens of pages when it opens."""

HTTP_MS_PER_SECOND = 400.0
"""The same for all addresses together: voting and serving workloads matter more."""

HTTP_BURST_MS = 4000.0
"""And at once."""

HTTP_REFUSED_SECONDS = 1.0
"""Before who asked for too much hears so: to refuse costs CPU as well."""

HTTP_COST_MS_MIN = 1.0
"""What a request counts at least: reading it and sending the answer costs as well."""

HTTP_SITES_REMEMBERED_MAX = 4096
"""Addresses whose use is remembered; those seen least lately are forgotten first."""

PREFLIGHT_SECONDS = 86_400
"""How long a browser may remember that reading is allowed from everywhere."""
