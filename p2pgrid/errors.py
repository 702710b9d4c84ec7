"""Every error that p2pgrid raises on purpose.

    GridError
    ├── InvalidRecord          we built a record that breaks its own rules
    ├── PeerError              someone else did something wrong
    │   ├── MalformedRecord      bytes that are not a canonical record
    │   ├── BadSignature         a record not signed by its claimed author
    │   ├── BadChunk             a blob or flist that is not what its id says
    │   └── BrokenProtocol       a message that does not fit what was asked
    ├── Refused                a peer or the grid said no, and why
    │   ├── InsufficientBalance
    │   ├── Conflicting          another operation was signed for the same slot
    │   ├── NoFittingNode        the grid cannot give what was asked for
    │   ├── QuoteExpired
    │   ├── SignedElsewhere      the key signed on another machine since it did here
    │   └── Locked               a wallet is sealed, and nobody gave its passphrase
    ├── NotFound               no such record, file, name or image
    ├── BadInput               what the user or a file says makes no sense
    │   └── BadImage             an image or flist that is broken or hostile
    ├── Unusable               this machine or data directory cannot be used as it is
    │   ├── DataInUse
    │   ├── NewerFormat
    │   └── Unsupported          a tool or right that a feature needs is missing
    ├── CannotRun              this machine failed to start a workload
    ├── StoreFailed            the disk refused; nothing was stored
    └── Unreachable            the other side did not answer in time

Catch `PeerError` to blame a peer and carry on; let anything else end the task.
Messages name what is wrong and what to do: people read them as they stand.
"""


class GridError(Exception):
    """Base of all errors a caller of p2pgrid may want to catch."""


class InvalidRecord(GridError, ValueError):
    """A record was constructed with values that break its rules."""


class PeerError(GridError):
    """A peer broke the protocol. Drop what it sent; lower its standing."""


class MalformedRecord(PeerError):
    """Bytes from outside do not decode to a valid, canonical record."""


class BadSignature(PeerError):
    """A record does not carry a valid signature of its claimed author."""


class BadChunk(PeerError):
    """A blob or flist does not have the hash that it is known by."""


class BrokenProtocol(PeerError):
    """A peer answered with something that does not fit what it was asked."""


class Refused(GridError):
    """The other side understood, and said no."""


class InsufficientBalance(Refused):
    """An account does not hold what an operation spends."""


class Conflicting(Refused):
    """The account signed another operation for the same slot; at most one is ever certified."""


class NoFittingNode(Refused):
    """No node of the grid has what was asked for, at the price allowed."""


class QuoteExpired(Refused):
    """The capacity was held for the time that the quote states, which is over."""


class SignedElsewhere(Refused):
    """The account signed its last operation on another machine, which may be signing right now."""


class Locked(Refused):
    """A wallet opens by a passphrase only, and none was given."""


class NotFound(GridError):
    """What was named does not exist, or nobody reachable has it."""


class BadInput(GridError, ValueError):
    """A value, file or document that a person gave cannot be used."""


class BadImage(BadInput):
    """An image, layer or flist is broken or tries to leave its tree."""


class Unusable(GridError):
    """The machine or data directory cannot be used as it is."""


class DataInUse(Unusable):
    """Another node program has the data directory open."""


class NewerFormat(Unusable):
    """The data was written by a newer p2pgrid; this one would damage it."""


class Unsupported(Unusable):
    """A tool, kernel feature or right that this needs is missing here."""


class CannotRun(GridError):
    """A workload could not be started on this machine; nothing of it is left."""


class StoreFailed(GridError):
    """The disk refused a write; nothing of it counts as stored."""


class Unreachable(GridError):
    """The other side gave no answer within its time limit."""
