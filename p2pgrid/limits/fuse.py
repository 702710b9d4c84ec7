"""Limits of file systems that are served to the kernel."""

from p2pgrid.units import KIB, MIB

FUSE_READ_BYTES_MAX = 1 * MIB
"""What the kernel reads at once; 128 KiB, its own choice, takes eight times as many questions."""

FUSE_REQUEST_BYTES_MAX = 64 * KIB
"""One request, which is a name or a few numbers; the kernel wants room for a page of data."""

FUSE_ENTRY_VALID_SECONDS = 86_400
"""How long the kernel believes what it was told of a name; an flist never changes."""

FUSE_REQUESTS_PER_TURN = 64
"""Answered before other tasks of the program get their turn."""

LAZY_READ_SECONDS_MAX = 60.0
"""How long a read waits for its chunk before it fails; a peer may be back by then."""

LAZY_PAUSE_SECONDS = 1.0
"""Before a chunk that nobody gave is asked for again."""

LAZY_PAUSE_SECONDS_MAX = 10.0
"""The pause doubles up to this."""

LAZY_MEMORY_BYTES = 64 * MIB
"""Opened blocks that are kept; the kernel keeps what it has read besides."""

LAZY_NEIGHBOUR_BYTES = 1 * MIB
"""What follows in the tree and is brought with the block that somebody waits for: thousands of
small files would cost a round trip each."""

LAZY_FETCHES_AT_ONCE = 4
"""Batches under way; one of them is always left to those that wait."""

LAZY_BATCH_CHUNKS = 8
"""Chunks of one batch in the background, 4 MiB: short enough that who waits gets his turn."""
