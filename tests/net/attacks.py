"""Attacks on a libp2p host, each a few packets, by stock libp2p in a process of its own.

A victim that hangs up defends itself: what an attacker suffers then is no concern.
"""

import os
import struct
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.pb import rpc_pb2 as pb
from libp2p.pubsub.validators import PUBSUB_SIGNING_PREFIX
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.stream_muxer.mplex.mplex import MPLEX_PROTOCOL_ID, Mplex
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

from p2pgrid.net.control import Hello, MessageReader, Ping, Pong, Request, message_bytes
from p2pgrid.net.network import CONTROL_PROTOCOL, Method
from tests.net.attack_victims import ECHO, GRID, IGNORING, POISON, RAISING, TOPIC, WHO

_MESH = TProtocol("/meshsub/1.1.0")
_CONTROL = TProtocol(CONTROL_PROTOCOL)
_HALF_OPEN = 1000
_STREAMS = 10_000
_SETTLE_SECONDS = 0.4
_CHURNED = 600
Attack = Callable[[str], Awaitable[object]]


async def _settle() -> None:
    await trio.sleep(_SETTLE_SECONDS)


@asynccontextmanager
async def attacker(address: str, **options: Any) -> Any:
    """A stock host connected to the victim; it greets like a node of the victim's grid."""
    host: Any = new_host(key_pair=create_new_key_pair(os.urandom(32)), **options)
    host.set_stream_handler(_CONTROL, _be_a_member)
    info = info_from_p2p_addr(Multiaddr(address))
    async with host.run(listen_addrs=[]):
        await host.connect(info)
        await trio.sleep(0.2)  # until we have been greeted
        yield host, info.peer_id


async def _be_a_member(stream: Any) -> None:
    reader = MessageReader()
    while True:
        for message in reader.feed(await stream.read(65536)):
            match message:
                case Hello():
                    await stream.write(message_bytes(Hello(GRID, ())))
                case Ping():
                    await stream.write(message_bytes(Pong()))
                case _:
                    pass


# --- attacks --------------------------------------------------------------------------------------


async def garbage(address: str) -> None:
    """Bytes of all kinds on the port."""
    for payload in (
        b"GET / HTTP/1.1\r\n\r\n",
        os.urandom(4096),
        b"\x13/multistream/1.0.0\n\x07/noise\n" + os.urandom(2000),
        b"\xff" * 100_000,
        bytes(10),
    ):
        for _ in range(4):
            stream = await _tcp(address)
            with suppress(trio.BrokenResourceError):
                await stream.send_all(payload)
            await stream.aclose()
    await _settle()


async def raising_handler(address: str) -> None:
    """Reach a handler that has a bug: a stream's, and in our node a request's."""
    async with attacker(address) as (host, victim):
        await host.new_stream(victim, [RAISING])
        await _settle()
        with suppress(Exception):
            stream = await host.new_stream(victim, [_CONTROL])
            await stream.write(message_bytes(Hello(GRID, ())))
            await stream.read(1000)
            await stream.write(message_bytes(Request(1, Method.LEDGER_SUBMIT, b"")))
        await _settle()


async def malformed_control(address: str) -> None:
    """Say what is no request on a control stream, and ask more than is allowed."""
    async with attacker(address) as (host, victim):
        oversize = b"\xff\xff\xff\x7f" + bytes(100_000)
        for said in (b"\xff" * 100, message_bytes(Pong()), bytes(4), oversize):
            with suppress(Exception):
                stream = await host.new_stream(victim, [_CONTROL])
                await stream.write(said)
            await trio.sleep(0.05)
    async with attacker(address) as (host, victim):
        stream = await host.new_stream(victim, [_CONTROL])
        await stream.write(message_bytes(Hello(GRID, ())))
        await stream.read(1000)
        body = bytes(10_000)
        with trio.move_on_after(2):
            for number in range(2000):
                await stream.write(message_bytes(Request(number, Method.LEDGER_STATUS, body)))


async def malformed_rpc(address: str) -> None:
    """A gossip packet that is no protobuf."""
    async with attacker(address) as (host, victim):
        stream = await host.new_stream(victim, [_MESH])
        await stream.write(encode_varint_prefixed(b"\xff\xff\xff\xff\x0f" * 20))
        await _settle()


async def malformed_key(address: str) -> None:
    """Gossip whose author's key is none, and other fields alike."""
    async with attacker(address) as (host, victim):
        stream = await host.new_stream(victim, [_MESH])
        wrong: tuple[dict[str, bytes], ...] = (
            {"from_id": b"\x12\x20" + os.urandom(32), "key": b"\x08\x01\x12\x20garbage"},
            {"from_id": b""},
            {"from_id": b"\x00"},
            {"key": b"\xff"},
            {"signature": b"x"},
            {"signature": b"x" * 64},
            {"seqno": b""},
        )
        for fields in wrong:
            await _publish(stream, _signed(host, b"x", **fields))
        await _settle()


async def poison(address: str) -> None:
    """A message on which the validator of the topic raises."""
    async with attacker(address) as (host, victim):
        stream = await host.new_stream(victim, [_MESH])
        await _publish(stream, _signed(host, POISON))
        await _settle()


async def subscription_spam(address: str) -> None:
    """Subscribe to and leave thousands of topics, again and again, on several streams."""
    async with attacker(address) as (host, victim):
        for turn in range(6):
            topics = [
                pb.RPC.SubOpts(subscribe=turn % 2 == 0, topicid=f"{n}".rjust(40, "t"))
                for n in range(2000)
            ]
            with suppress(Exception):
                stream = await host.new_stream(victim, [_MESH])
                data = pb.RPC(subscriptions=topics).SerializeToString()
                await stream.write(encode_varint_prefixed(data))
            await trio.sleep(0.05)
        await _settle()


async def gossip_flood(address: str) -> None:
    """Oversized packets, junk records, control messages and subscriptions by the thousand."""
    control = pb.ControlMessage
    ids = [os.urandom(20) for _ in range(5000)]
    async with attacker(address) as (host, victim):
        stream = await host.new_stream(victim, [_MESH])
        rpcs = [
            pb.RPC(senderRecord=b"junk"),
            pb.RPC(control=control(ihave=[pb.ControlIHave(topicID=TOPIC, messageIDs=ids)])),
            pb.RPC(control=control(iwant=[pb.ControlIWant(messageIDs=ids)])),
            pb.RPC(control=control(graft=[pb.ControlGraft(topicID=f"z{n}") for n in range(2000)])),
            pb.RPC(control=control(prune=[pb.ControlPrune(topicID=f"z{n}") for n in range(2000)])),
            pb.RPC(
                subscriptions=[pb.RPC.SubOpts(subscribe=True, topicid=f"q{n}") for n in range(4000)]
            ),
            pb.RPC(publish=[_signed(host, os.urandom(8)) for _ in range(300)]),
        ]
        for rpc in rpcs:
            with suppress(Exception):
                stream = await host.new_stream(victim, [_MESH])
                await stream.write(encode_varint_prefixed(rpc.SerializeToString()))
            await trio.sleep(0.05)
        with suppress(Exception):
            await stream.write(b"\xff\xff\xff\xff\x07" + bytes(1000))
        await _settle()


async def half_open(address: str) -> None:
    """1,000 connections that say nothing, from 200 addresses in 10 prefixes; left open."""
    streams: list[object] = []
    for number in range(_HALF_OPEN):
        source = f"127.{1 + number % 10}.0.{1 + number // 10 % 20}"
        with suppress(OSError), trio.move_on_after(1):
            streams.append(await _tcp(address, source=source))
    _left_open.append(streams)
    await _settle()


_left_open: list[object] = []


async def window_overrun(address: str) -> None:
    """32 MB into a stream that nobody reads, whatever the window says."""
    async with attacker(address) as (host, victim):
        stream = await host.new_stream(victim, [IGNORING])
        muxed = stream.muxed_stream
        header = struct.pack("!BBHII", 0, 0, 0, muxed.stream_id, 65_000)
        with suppress(Exception), trio.fail_after(8):
            for _ in range(500):
                await muxed.conn._write_frame(header + bytes(65_000))
        await trio.sleep(1)


async def stream_flood(address: str) -> None:
    """10,000 new streams on one connection."""
    async with attacker(address) as (host, victim):
        muxed = host.get_network().get_connections(victim)[0].muxed_conn
        with suppress(Exception), trio.fail_after(8):
            for stream_id in range(100_001, 100_001 + 2 * _STREAMS, 2):
                await muxed._write_frame(struct.pack("!BBHII", 0, 1, 1, stream_id, 0))
        await trio.sleep(1)


async def stream_churn(address: str) -> None:
    """Streams that agree on a protocol, say a word, and are gone; one packet each."""
    agreed = b"".join(
        bytes([len(one) + 1]) + one + b"\n" for one in (b"/multistream/1.0.0", ECHO.encode())
    )
    said = agreed + b"x"
    async with attacker(address) as (host, victim):
        muxed = host.get_network().get_connections(victim)[0].muxed_conn
        with suppress(Exception), trio.fail_after(8):
            for stream_id in range(200_001, 200_001 + 2 * _CHURNED, 2):
                opening = struct.pack("!BBHII", 0, 1, 1, stream_id, 0)
                saying = struct.pack("!BBHII", 0, 0, 4, stream_id, len(said))
                await muxed._write_frame(opening)
                await muxed._write_frame(saying + said)
                await trio.sleep(0.002)
        await trio.sleep(1)


async def closed_connections(address: str) -> None:
    """Connections that come and go in good order."""
    for _ in range(12):
        async with attacker(address) as (host, _):
            await host.get_network().close()
    await trio.sleep(1)


async def mplex(address: str) -> str:
    """One frame that does not decrypt, on a connection multiplexed by mplex."""
    options = {"muxer_opt": {TProtocol(MPLEX_PROTOCOL_ID): Mplex}}
    said = "refused"
    with suppress(Exception), trio.fail_after(4):
        async with attacker(address, **options) as (host, victim):
            muxed = host.get_network().get_connections(victim)[0].muxed_conn
            await muxed.secured_conn.conn.read_writer.write_msg(bytes(40))
            said = "accepted"
            await _settle()
    return said


async def plaintext(address: str) -> str:
    """Be somebody else by naming his public key. Who the victim takes us for."""
    bob = create_new_key_pair(b"bob" + bytes(29)).public_key
    mallory = create_new_key_pair(os.urandom(32))

    class Borrowed(type(mallory.private_key)):  # type: ignore[misc]  # made at run time
        def get_public_key(self) -> object:
            return bob

    fake = KeyPair(Borrowed(mallory.private_key.impl), bob)  # type: ignore[attr-defined]  # a field that libp2p does not declare
    host: Any = new_host(
        key_pair=mallory,
        sec_opt={TProtocol(PLAINTEXT_PROTOCOL_ID): InsecureTransport(fake)},
    )
    host.set_stream_handler(_CONTROL, _be_a_member)
    info = info_from_p2p_addr(Multiaddr(address))
    said = "refused"
    with suppress(Exception), trio.fail_after(4):
        async with host.run(listen_addrs=[]):
            await host.connect(info)
            stream = await host.new_stream(info.peer_id, [WHO])
            is_bob = await stream.read(100) == str(ID.from_pubkey(bob)).encode()
            said = "bob" if is_bob else "somebody"
    return said


async def never_reads(address: str) -> None:
    """Subscribe, graft, and never read from the socket again; stay connected."""
    async with attacker(address) as (host, victim):
        stream = await host.new_stream(victim, [_MESH])
        rpc = pb.RPC(
            subscriptions=[pb.RPC.SubOpts(subscribe=True, topicid=TOPIC)],
            control=pb.ControlMessage(graft=[pb.ControlGraft(topicID=TOPIC)]),
        )
        await stream.write(encode_varint_prefixed(rpc.SerializeToString()))
        muxed = host.get_network().get_connections(victim)[0].muxed_conn
        await muxed.streams_lock.acquire()
        await trio.sleep(3)


def _signed(host: Any, data: bytes, **fields: bytes) -> pb.Message:
    """A message of the attacker's, with some fields wrong."""
    message = pb.Message(
        data=data, topicIDs=[TOPIC], from_id=host.get_id().to_bytes(), seqno=os.urandom(8)
    )
    signed = PUBSUB_SIGNING_PREFIX.encode() + message.SerializeToString()
    message.signature = host.get_private_key().sign(signed)
    message.key = host.get_public_key().serialize()
    for name, value in fields.items():
        setattr(message, name, value)
    return message


async def _publish(stream: Any, message: pb.Message) -> None:
    rpc = pb.RPC(publish=[message])
    await stream.write(encode_varint_prefixed(rpc.SerializeToString()))
    await trio.sleep(0.05)


async def _tcp(address: str, source: str | None = None) -> trio.SocketStream:
    parts = address.split("/")
    return await trio.open_tcp_stream(parts[2], int(parts[4]), local_address=source)


STRANGERS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        garbage,
        raising_handler,
        malformed_control,
        half_open,
        window_overrun,
        stream_flood,
        stream_churn,
        closed_connections,
        mplex,
        plaintext,
    )
}
MESHED: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        malformed_rpc,
        malformed_key,
        poison,
        subscription_spam,
        gossip_flood,
        never_reads,
    )
}
"""On libp2p's own gossip, which nodes do not speak among themselves."""


async def meshed(address: str) -> None:
    """All of these, one after the other."""
    for attack in MESHED.values():
        with suppress(Exception):
            await attack(address)
