"""Limits of keys at rest."""

from p2pgrid.units import GIB, KIB, MIB

PASSPHRASE_BYTES_MAX = 1 * KIB
"""A passphrase; nobody types more."""

SEAL_PASSES = 3
"""Passes of argon2id: with the memory below libsodium calls it moderate, about a second."""

SEAL_MEMORY_BYTES = 256 * MIB
"""What one guess of a passphrase costs an attacker in memory."""

SEAL_PASSES_MAX = 64
"""Passes that a file may ask for; more would keep a node busy for minutes."""

SEAL_MEMORY_BYTES_MAX = 1 * GIB
"""Memory that a file may ask for."""

PUBLISHERS_MAX = 10_000
"""Publishers that a node remembers; nobody runs images of more."""

KEY_FILE_BYTES_MAX = 4 * KIB
"""A file with a key: a sealed one takes about 350 bytes."""
