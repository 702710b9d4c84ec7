"""Limits of what travels and rests."""

from p2pgrid.units import KIB, MIB

RECORD_BYTES_MAX = 64 * KIB
"""Any record: the largest is a certified batch of operations; gossip carries no more anyway."""

INTEGER_MAX = 2**63 - 1
"""Fits every language's signed 64 bit integer."""

NESTING_MAX = 8
"""Deepest array in an array of any record, with room to grow."""

FRAME_BYTES_MAX = 1 * MIB
"""One request or answer on the control stream."""
