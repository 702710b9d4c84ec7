"""Limits of images."""

from p2pgrid.units import GIB, KIB, MIB

NAME_BYTES_MAX = 255
"""One name in an image; what Linux file systems take."""

IMAGE_PATH_BYTES_MAX = 4096
"""One path in an image and the target of one symbolic link: PATH_MAX of Linux."""

IMAGE_DEPTH_MAX = 128
"""Directories in directories of an image; unpacking holds one file descriptor for each."""

IMAGE_LINKS_FOLLOWED_MAX = 40
"""Symbolic links on the way to one path of a layer; where Linux itself says ELOOP."""

IMAGE_LINK_STEPS_MAX = 5_000_000
"""Names that links add to the paths of one image, some seconds of work; real images stay far
below, since few of their paths go through links."""

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
"""Machine steps that SQLite may take for one flist: a hostile file must not run for ever."""

FLIST_TAGS_MAX = 64
"""Tags of one flist."""

FLIST_TAG_BYTES_MAX = 1 * MIB
"""One tag of an flist; the largest is the configuration of the image."""

LEGACY_VALUE_BYTES_MAX = 32 * MIB
"""One directory of an old flist; some 50 bytes for each file and each block of one."""

CAPNP_SEGMENTS_MAX = 512
"""Pieces of one message; the libraries that write them double their size each time."""

CAPNP_DEPTH_MAX = 16
"""Structs in structs of one message; old flists have four."""

ENCODE_BATCH_CHUNKS = 32
"""Chunks handed to the store at a time, 16 MiB: one durable write for all of them."""

ENCODE_TASK_BYTES = 2 * MIB
"""Plain bytes that one thread encodes at a time: long enough that handing over costs nothing."""

READ_BATCH_CHUNKS = 32
"""Chunks read from the store and opened at a time while unpacking, 16 MiB."""

PROGRESS_BYTES = 4 * MIB
"""How often a long task says how far it is; a person sees no finer steps."""

LOGINS_BYTES_MAX = 1 * MIB
"""The file with logins at registries; one takes some hundred bytes."""

REGISTRY_SECONDS_MAX = 30.0
"""What an image registry may take to connect, and between two pieces of an answer."""

REGISTRY_ATTEMPTS = 4
"""How often a request to an image registry is tried, with growing pauses in between."""

REGISTRY_PAUSE_SECONDS = 0.5
"""Before the second attempt; doubles with each further one."""

REGISTRY_REDIRECTS_MAX = 5
"""Registries send clients to their storage service once or twice."""

TREE_ENTRY_BYTES = 4 * KIB
"""What a file, directory or link takes on disk besides its content: a block of a file system."""

DISK_RESERVE_BYTES = 512 * MIB
"""Free space that no image may take: the ledger and the explorer must go on storing."""
