"""Control messages survive any cutting; errors travel by name, and only those on the list."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import (
    BrokenProtocol,
    DataInUse,
    GridError,
    InsufficientBalance,
    InvalidRecord,
    NoFittingNode,
    QuoteExpired,
    Refused,
    StoreFailed,
)
from p2pgrid.limits.net import ERROR_MESSAGE_BYTES_MAX, PEER_ADDRESSES_MAX, REQUEST_BODY_BYTES_MAX
from p2pgrid.limits.wire import FRAME_BYTES_MAX
from p2pgrid.model.ids import NetworkId, NodeId
from p2pgrid.net.control import (
    TRAVELLING_ERRORS,
    Answer,
    Cancel,
    Failure,
    Hello,
    Message,
    MessageReader,
    Ping,
    Pong,
    Request,
    error_of,
    failure_of,
    message_bytes,
)
from p2pgrid.wire.frames import LENGTH_BYTES

PEER = NodeId(b"p" * 32)
HELLO = Hello(NetworkId(b"n" * 16), ("/ip4/192.0.2.1/tcp/1/p2p/x",))

numbers = st.integers(0, 2**63 - 1)
texts = st.text(max_size=40).map(lambda text: text.encode("ascii", "replace").decode())
messages = st.one_of(
    st.builds(
        Hello,
        st.binary(min_size=16, max_size=16).map(NetworkId),
        st.lists(texts, max_size=3).map(tuple),
    ),
    st.builds(Request, numbers, texts, st.binary(max_size=100)),
    st.builds(Answer, numbers, st.binary(max_size=100)),
    st.builds(Failure, numbers, texts, texts),
    st.builds(Cancel, numbers),
    st.just(Ping()),
    st.just(Pong()),
)


@given(st.lists(messages, max_size=6), st.randoms(use_true_random=False))
def test_messages_come_out_as_they_went_in_however_they_are_cut(
    sent: list[Message], random: Random
) -> None:
    stream = b"".join(map(message_bytes, sent))
    reader, at = MessageReader(), 0
    got: list[Message] = []
    while at < len(stream):
        end = at + random.randint(1, 50)
        got += reader.feed(stream[at:end])
        at = end

    assert got == sent
    assert reader.is_between_messages


@given(st.binary(max_size=200))
def test_garbage_is_a_message_or_a_broken_protocol(garbage: bytes) -> None:
    try:
        read = MessageReader().feed(len(garbage).to_bytes(LENGTH_BYTES, "big") + garbage)
    except BrokenProtocol:
        read = []
    assert all(isinstance(one, Message) for one in read)


def test_a_frame_over_the_limit_is_refused_before_it_arrives() -> None:
    with pytest.raises(BrokenProtocol, match="limit"):
        MessageReader().feed((FRAME_BYTES_MAX + 1).to_bytes(LENGTH_BYTES, "big"))


def test_the_longest_request_and_answer_fit_a_frame() -> None:
    body = bytes(REQUEST_BODY_BYTES_MAX)
    for message in (Request(2**63 - 1, "m" * 64, body), Answer(2**63 - 1, body)):
        assert MessageReader().feed(message_bytes(message)) == [message]
    with pytest.raises(ValueError, match="limit"):
        message_bytes(Request(1, "m", body + b"!"))


def test_a_greeting_has_bounds() -> None:
    for network, addresses in (
        (b"n" * 15, ()),
        (b"n" * 16, ("a",) * (PEER_ADDRESSES_MAX + 1)),
        (b"n" * 16, ("a" * 257,)),
    ):
        with pytest.raises(InvalidRecord):
            Hello(NetworkId(network), addresses)


@pytest.mark.parametrize("cls", TRAVELLING_ERRORS.values())
def test_errors_on_the_list_travel(cls: type[GridError]) -> None:
    arrived = error_of(failure_of(7, cls("because")))

    assert type(arrived) is cls
    assert str(arrived) == "because"


def test_refusals_can_be_told_apart() -> None:
    """Who asks for money or capacity must know what is missing."""
    assert {InsufficientBalance, NoFittingNode, QuoteExpired} <= set(TRAVELLING_ERRORS.values())


class _Local(Refused):
    """An error that only one side knows."""


def test_an_error_off_the_list_travels_as_its_nearest_ancestor() -> None:
    assert failure_of(1, _Local("no")) == Failure(1, "Refused", "no")


@pytest.mark.parametrize("error", [KeyError("secret"), StoreFailed("secret"), DataInUse("secret")])
def test_what_concerns_only_us_is_not_told(error: Exception) -> None:
    failure = failure_of(1, error)

    assert failure.error == "Unreachable"
    assert "secret" not in failure.message


@pytest.mark.parametrize("name", ["StoreFailed", "DataInUse", "SystemExit", "KeyError", ""])
def test_a_peer_cannot_make_us_raise_what_is_not_on_the_list(name: str) -> None:
    assert type(error_of(Failure(1, name, "boo"))) is BrokenProtocol


@given(st.text(max_size=3000))
def test_messages_of_errors_are_bounded_and_printable(text: str) -> None:
    failure = failure_of(1, Refused(text))

    assert len(failure.message.encode()) <= ERROR_MESSAGE_BYTES_MAX
    assert failure.message.isprintable()
    assert MessageReader().feed(message_bytes(failure)) == [failure]
