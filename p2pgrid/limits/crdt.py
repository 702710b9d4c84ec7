"""Limits of comparing two sets."""

from p2pgrid.units import KIB, SECOND_MS

TRIE_LEAF_IDS_MAX = 64
"""Ids in one leaf: 16 bytes of memory an id and 1.3 µs a change, at 1,000 as at 100,000 ids."""

SHORT_HASH_CHUNK = 8192
"""Ids hashed at once: five columns of them stay in the second cache."""

RIBLT_SYMBOLS_MAX = 20_000
"""Symbols of one comparison: 240 kB, 14,000 differences; lists of ids are no worse beyond."""

RIBLT_STEPS_MAX = 2_000
"""Rounds of taking items out, 0.1 ms each; honest symbols need about a hundred."""

RECONCILE_ANSWER_BYTES_MAX = 512 * KIB
"""Ids or records in one answer: half a frame, so that other answers are not kept waiting."""

RECONCILE_FETCH_IDS_MAX = 1024
"""Records asked for at once; of the small ones that is about what one answer holds."""

RECONCILE_MISSING_MAX = 50_000
"""Ids held in memory during one pull, 3 MB; a peer that names more is asked again afterwards."""

ARRIVALS_MAX = 50_000
"""Arrivals remembered for peers' cursors: five minutes of a grid of 100,000 nodes, 400 kB."""

NEWS_IDS_MAX = 2048
"""Arrivals in one answer: 16 kB, eleven seconds of such a grid."""

NEWS_PAGES_MAX = 32
"""Such answers that one pull takes: more than a log remembers, so a liar cannot go on for ever."""

DESCEND_PARTS_MAX = 3
"""So few differences are found by hashes of parts: that is cheap, no side hashes its set."""

DESCEND_PREFIXES_MAX = 64
"""Prefixes in one question: when more parts differ, symbols are shorter."""

STREAM_FIRST_MIN = 48
"""Differences assumed when all of 16 parts differ: the mean at which the last one does."""

STREAM_GROWTH = 1.3
"""Symbols in the end against those there are: less is more round trips, more is wasted ones."""

STREAM_MORE_MIN = 5
"""Symbols asked for at least: a question and what is around the answer take 18 bytes."""

FETCH_MATCHES_MAX = 4
"""Records of one name: of two honest ids in 10^14 the names are equal."""

SESSIONS_MAX = 8
"""Sessions at once, 6 MB each with 100,000 ids; they last as long as a pull."""

SESSION_INTERVAL_MS = 10_000
"""Between two sessions of one peer: each costs 25 to 50 ms with 100,000 ids."""

SESSIONS_REMEMBERED_MAX = 1_000
"""Peers whose last session is remembered: more than there are connections."""

SESSION_IDS_PER_SECOND = 200_000
"""Ids that all sessions together may hash: a tenth of a core."""

SESSION_IDS_BURST = 1_000_000
"""Ids that they may hash at once, such as when many peers start together."""

SESSION_OVERHEAD_IDS = 2_000
"""What a session costs however few ids there are, in ids: 1 ms."""

CURSORS_MAX = 1_000
"""Peers whose cursors and failures are remembered: more than there are connections."""

PULL_BACK_OFF_MS_MAX = 300 * SECOND_MS
"""Longest wait for a peer that failed: it may have come to its senses."""

LIAR_BACK_OFF_MS_MIN = 30 * SECOND_MS
"""First wait for a peer that sent garbage: it costs us more than one that is silent."""

HINTED_PULL_MS = 10 * SECOND_MS
"""From the first hint that a peer has what we did not take to the pull from it: a hint costs
nothing, and a pull does."""

CURSOR_TRUST_MS = 900 * SECOND_MS
"""How long news are enough: what was refused for its time and is right now comes after it."""

RANGE_PROOF_PARTS_MAX = 1024
"""Parts of one range proof: a 16th of 100,000 ids; at most 2 MiB, and 200 kB as a rule."""
