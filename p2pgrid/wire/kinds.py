"""Every kind of signed or hashed record, and the number that keeps their signatures apart.

A number is never given twice: it is part of what is signed, so a signature of
one kind can never be one of another.
"""

from enum import IntEnum


class RecordKind(IntEnum):
    """What a record is. Sent as one small integer, never renumbered."""

    GENESIS = 1

    NODE_ANNOUNCEMENT = 10
    CAPACITY_UPDATE = 11
    FARM_RECORD = 12
    FARM_MEMBERS = 13
    FLIST_NAME = 14
    HOLDINGS = 15
    CONTRADICTION = 16

    OPERATION = 30
    VOTE = 31
    CERTIFICATE = 32
    CERTIFIED_BATCH = 33
    EQUIVOCATION = 34
    CLOSE_TERMS = 35
    EPOCH_REPORT = 36
    EPOCH_PROPOSAL = 37
    EPOCH_VOTE = 38

    RESERVATION_REQUEST = 50
    QUOTE = 51
    STATUS = 52
    CANCELLATION = 53

    @property
    def person(self) -> bytes:
        """The blake2b personalisation of ids of this kind, at most 16 bytes."""
        return b"p2pgrid.%03d" % self
