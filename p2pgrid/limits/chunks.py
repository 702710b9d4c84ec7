"""Limits of chunks and of flists as files."""

from p2pgrid.units import GIB, KIB, MIB

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

COMPACT_DEAD_PERCENT = 25
"""A pack is written anew once so much of it is of no use: each byte moves about three times."""

COMPACT_BATCH_BYTES = 8 * MIB
"""Chunks that compaction moves at once; writers of new ones wait as long as that takes."""

EVICT_BELOW_PERCENT = 65
"""Of their share: what chunks shrink to once packs exceed it. With a quarter of a pack of no use
that makes 87 % on disk, so eviction comes rarely."""

EVICT_BATCH_CHUNKS = 1000
"""Chunks that go in one write of the index, about 10 ms in which the node does nothing else."""

EVICT_ATTEMPTS_MAX = 5
"""How often one eviction chooses anew because an image was pinned meanwhile."""

KEEPER_SECONDS = 60.0
"""How often a node looks whether its chunks take more than their share of the disk."""

VERIFY_BATCH_CHUNKS = 32
"""Chunks that are read and hashed at once while a store is verified: 19 MB at most."""

MOVED_READS_MAX = 4
"""How often a chunk is looked for again because compaction moved it while it was read."""

CHUNKS_PER_REQUEST_MAX = 256
"""Ids in one request: 8 KiB of them, and at most 150 MB of answer."""

ANSWER_CHUNKS_MAX = 64
"""Chunks that are read, sent and stored at once: small ones share the cost of a thread hop."""

ANSWER_BYTES_MAX = 4 * CHUNK_BLOB_BYTES_MAX
"""Bytes of chunks that are read, sent and stored at once, about 2.4 MB: four full chunks."""

ANSWER_FRAME_SECONDS_MAX = 30.0
"""A peer that takes longer to take in one frame is hung up on: it holds our memory."""

ANSWER_SECONDS_MAX = 60.0
"""The same for a whole answer: 40 KB/s, so that a crowd of slow readers cannot hold it for long."""

ANSWERS_IN_MEMORY_MAX = 64
"""Answers that a node holds for all its peers at once: 150 MB."""

ANSWERS_PER_PEER_MAX = 4
"""Of these for one peer, on all its connections: one being sent on each of two, and the next."""

REQUESTS_QUEUED_MAX = 16
"""Requests of one stream that wait; later ones are not read yet."""

HOLDER_SILENCE_SECONDS_MAX = 10.0
"""A holder that owes us chunks and sends nothing for so long has failed."""

HOLDERS_AT_ONCE_MAX = 8
"""Holders that one transfer asks at the same time; more only add connections."""

HOLDERS_TRIED_MAX = 64
"""Holders of one image that are asked one after the other: anybody may say that he holds it."""

HOLDER_FAILURES_MAX = 3
"""Failures in a row after which a holder is out; a restart in between is forgiven."""

HOLDER_RETRY_SECONDS = 1.0
"""Pause after a holder's first failure; doubles with each one that follows."""

HOLDER_WINDOW_SECONDS = 1.0
"""Chunks are asked for this long ahead at the rate of their holder: more than any round trip."""

HOLDER_WINDOW_START = 2
"""Chunks that a holder of unknown rate is asked for at once; a slow one needs 8 s at 1 Mbit/s."""

HOLDER_WINDOW_MIN = 2
"""Chunks in flight at the slowest holder: one that it sends, and the next."""

HOLDER_TRIAL_SECONDS = 5.0
"""How often one holder more is tried while all places are taken: those who took them may crawl."""

URGENT_WINDOW = 8
"""Chunks that somebody waits for, in flight at one holder beside all others."""

URGENT_LATE_SECONDS = 2.0
"""A chunk that somebody waits for and that did not come for so long is asked of another too."""

ASSUMED_BYTES_PER_SECOND = 4 * MIB
"""Of a holder that has not answered yet, to choose whom to ask for what somebody waits for."""

ASSUMED_ANSWER_SECONDS = 0.1
"""The same: from a question to its answer."""

LATE_CHUNK_SECONDS = 10.0
"""A chunk that did not come for so long is asked of somebody else too, whatever it costs."""

DUPLICATES_PERMILLE_MAX = 50
"""Of the wanted chunks: how many may be asked twice to finish earlier. Of few, one for each of
HOLDERS_AT_ONCE_MAX: a part of few is nothing, and every holder may be late with its last one."""

STORING_ANSWERS_MAX = 4
"""Answers of one transfer that are hashed and stored at once: enough for two cores and a disk."""

TRANSFER_LINGER_SECONDS = 10.0
"""How long a transfer keeps its connections and what it knows of holders once all of it came:
whoever reads an image asks again in a moment."""

RATE_SECONDS = 3.0
"""What the shown rate of a transfer is measured over, about."""

TRANSFER_TICK_SECONDS = 0.5
"""How often a transfer looks for late chunks and holders to try again."""

FLIST_HEDGE_SECONDS = 3.0
"""A holder that has not given an flist after so long is not waited for alone any more."""

FLIST_NEXT_SECONDS = 1.0
"""Once one was slow, the next holder is asked after so long: 64 of them in about a minute."""

FLIST_BYTES_PER_SECOND_MIN = 64 * KIB
"""A holder that gives an flist more slowly on average has failed, whoever else is asked."""

IMAGE_BYTES_MAX = 64 * GIB
"""Plain bytes that one image may unpack to."""

IMAGE_ENTRIES_MAX = 2_000_000
"""Files, directories and links of one image."""
