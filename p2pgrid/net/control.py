"""Requests on one persistent stream, sans IO: messages, numbers, errors.

    asker                          server
    Hello(network, addresses) ──▶
                              ◀──  Hello(network, addresses)
    Request(1, method, body)  ──▶
    Request(2, method, body)  ──▶
                              ◀──  Answer(2, body)
                              ◀──  Failure(1, error, message)
    Cancel(3)                 ──▶            the asker no longer waits
    Ping                      ──▶
                              ◀──  Pong

Rules:
 1. One stream for each peer and direction: who opened it asks, the other answers.
 2. Nothing but Hello travels before both sides know that they are of one grid.
 3. Answers come in any order; every request gets at most one.
 4. An error travels as the name of its class and a message. Only names in
    `TRAVELLING_ERRORS` are ever made into exceptions, so that no peer can make us
    raise what means, say, that our own disk failed.

A stream costs 2 to 7 ms of CPU to open on each side; a request on an open one 0.5.
"""

import unicodedata
from dataclasses import dataclass

from p2pgrid.errors import (
    BadImage,
    BadInput,
    BadSignature,
    BrokenProtocol,
    GridError,
    InsufficientBalance,
    InvalidRecord,
    MalformedRecord,
    NoFittingNode,
    NotFound,
    PeerError,
    QuoteExpired,
    Refused,
    Unreachable,
)
from p2pgrid.limits.net import (
    ADDRESS_BYTES_MAX,
    ERROR_MESSAGE_BYTES_MAX,
    PEER_ADDRESSES_MAX,
    REQUEST_BODY_BYTES_MAX,
)
from p2pgrid.limits.wire import FRAME_BYTES_MAX
from p2pgrid.model.ids import NETWORK_ID_BYTES, NetworkId
from p2pgrid.wire.codec import decode, encode, variant
from p2pgrid.wire.frames import FrameReader, frame

TRAVELLING_ERRORS: dict[str, type[GridError]] = {
    error.__name__: error
    for error in (
        BadImage,
        BadInput,
        BadSignature,
        BrokenProtocol,
        InsufficientBalance,
        InvalidRecord,
        MalformedRecord,
        NoFittingNode,
        NotFound,
        PeerError,
        QuoteExpired,
        Refused,
        Unreachable,
    )
}
"""What a handler may raise so that the asker gets the same class."""

_METHOD_BYTES_MAX = 64


@variant(1)
@dataclass(frozen=True, slots=True)
class Hello:
    """First message of each side."""

    network: NetworkId
    addresses: tuple[str, ...]
    """Where the sender can be dialled."""

    def __post_init__(self) -> None:
        if len(self.network) != NETWORK_ID_BYTES:
            raise InvalidRecord(f"a network id has {NETWORK_ID_BYTES} bytes")
        if len(self.addresses) > PEER_ADDRESSES_MAX:
            raise InvalidRecord(f"more than {PEER_ADDRESSES_MAX} addresses")
        if any(len(address) > ADDRESS_BYTES_MAX for address in self.addresses):
            raise InvalidRecord(f"an address is longer than {ADDRESS_BYTES_MAX} bytes")


@variant(2)
@dataclass(frozen=True, slots=True)
class Request:
    """Wants an Answer or Failure of the same number."""

    number: int
    method: str
    body: bytes

    def __post_init__(self) -> None:
        if len(self.method) > _METHOD_BYTES_MAX:
            raise InvalidRecord(f"a method has at most {_METHOD_BYTES_MAX} characters")


@variant(3)
@dataclass(frozen=True, slots=True)
class Answer:
    """What the handler returned."""

    number: int
    body: bytes


@variant(4)
@dataclass(frozen=True, slots=True)
class Failure:
    """What the handler raised."""

    number: int
    error: str
    message: str


@variant(5)
@dataclass(frozen=True, slots=True)
class Cancel:
    """The asker does not wait for this answer any more."""

    number: int


@variant(6)
@dataclass(frozen=True, slots=True)
class Ping:
    """Asks whether anybody is there."""


@variant(7)
@dataclass(frozen=True, slots=True)
class Pong:
    """Somebody is."""


Message = Hello | Request | Answer | Failure | Cancel | Ping | Pong


@dataclass(frozen=True, slots=True)
class _Packet:
    """A union travels as a field of a record."""

    message: Message


def message_bytes(message: Message) -> bytes:
    """What to write for one message.

    Raises ValueError: a body is longer than REQUEST_BODY_BYTES_MAX.
    """
    if isinstance(message, Request | Answer) and len(message.body) > REQUEST_BODY_BYTES_MAX:
        raise ValueError(
            f"body of {len(message.body)} bytes, the limit is {REQUEST_BODY_BYTES_MAX}"
        )
    return frame(encode(_Packet(message)))


class MessageReader:
    """Puts messages together from whatever pieces of a stream arrive."""

    def __init__(self) -> None:
        self._frames = FrameReader()

    @property
    def is_between_messages(self) -> bool:
        """Whether the stream may end here."""
        return self._frames.is_between_frames

    def feed(self, data: bytes) -> list[Message]:
        """Take what arrived; give the messages that are complete now.

        Raises:
            BrokenProtocol: it is not this protocol. Nothing after can be understood.
        """
        try:
            return [
                decode(_Packet, payload, bytes_max=FRAME_BYTES_MAX).message
                for payload in self._frames.feed(data)
            ]
        except MalformedRecord as error:
            raise BrokenProtocol(f"not a control message: {error}") from error


def failure_of(number: int, error: Exception) -> Failure:
    """How an exception of a handler travels.

    The nearest class on the list is named. What is on no list is our own fault:
    the asker learns only that we failed, and may ask another peer.
    """
    for cls in type(error).__mro__:
        if cls.__name__ in TRAVELLING_ERRORS and TRAVELLING_ERRORS[cls.__name__] is cls:
            return Failure(number, cls.__name__, _shortened(str(error)))
    return Failure(number, Unreachable.__name__, "the peer failed internally; ask another")


def error_of(failure: Failure) -> GridError:
    """The exception that a failure of a peer is to us."""
    cls = TRAVELLING_ERRORS.get(failure.error)
    if cls is None:
        return BrokenProtocol(f"the peer failed with an unknown error: {failure.error[:40]!r}")
    return cls(_shortened(failure.message))


def _shortened(text: str) -> str:
    """At most ERROR_MESSAGE_BYTES_MAX of printable text: it will stand in logs and terminals."""
    printable = "".join(one if one.isprintable() else " " for one in text[:ERROR_MESSAGE_BYTES_MAX])
    cut = unicodedata.normalize("NFC", printable).encode()[:ERROR_MESSAGE_BYTES_MAX]
    return unicodedata.normalize("NFC", cut.decode(errors="ignore"))
