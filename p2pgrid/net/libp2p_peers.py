"""Who we are connected to: greeting, requests, liveness, standing.

Every connection starts a session: we open a control stream to the peer and
greet. A peer that does not greet back with our network id is hung up on, so
that grids never mix. A session outlives the connection it began on as long as
there is another to the same peer.
"""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import trio
from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStoreError

from p2pgrid.errors import BrokenProtocol, GridError, PeerError, Unreachable
from p2pgrid.limits.net import HELLO_SECONDS_MAX
from p2pgrid.model.ids import NodeId, short
from p2pgrid.net.address import node_of_peer_id, peer_id_bytes
from p2pgrid.net.control import Hello
from p2pgrid.net.control_session import Asker, Server, Service, answer_hello, say_hello
from p2pgrid.net.libp2p_door import door_of
from p2pgrid.net.libp2p_host import (
    close_sockets,
    is_outbound,
    remote_host,
    round_trip_us,
    swarm_of,
)
from p2pgrid.net.libp2p_streams import Libp2pStream
from p2pgrid.net.links import NEVER, Link
from p2pgrid.net.network import CONTROL_PROTOCOL, PeerDown, PeerUp
from p2pgrid.net.peer_events import PeerEvents
from p2pgrid.net.prefix import prefix_of_host
from p2pgrid.net.standing import Fault, Standing

log = logging.getLogger(__name__)

_STREAMS_PER_SESSION_MAX = 8
"""Control streams that we open to one peer before we believe that it breaks them on purpose."""


class OtherGrid(PeerError):
    """A peer greeted with another network id."""


class Gossiping(Protocol):
    """What gossip needs to know of peers."""

    async def admit(self, peer: NodeId) -> None:
        """It is of our grid."""
        ...

    def forget(self, peer: NodeId) -> None:
        """Its last connection is gone."""
        ...


class _Session:
    """What we have with one connected peer."""

    def __init__(self, peer: NodeId) -> None:
        self.peer = peer
        self.since = trio.current_time()
        self.useful_at = NEVER
        self.is_up = False
        self.is_over = False
        self.asker: Asker | None = None
        self.complaint: GridError | None = None
        """Why we hang up."""
        self._changed = trio.Event()

    def change(self, asker: Asker | None) -> None:
        """From now on requests go to `asker`, wait for another, or fail as all is over."""
        self.asker = asker
        self._changed.set()
        self._changed = trio.Event()

    async def wait_asker(self) -> Asker:
        """Where to send requests. Raises Unreachable."""
        while self.asker is None:
            if self.is_over:
                raise Unreachable(f"{short(self.peer)}: {self.complaint or 'it is gone'}")
            await self._changed.wait()
        return self.asker


class Peers:
    """Sessions with every connected peer; the `Members` of gossip."""

    def __init__(
        self,
        host: IHost,
        hello: Callable[[], Hello],
        service: Service,
        on_hello: Callable[[NodeId, Hello], None],
    ) -> None:
        self.events = PeerEvents()
        self.gossip: Gossiping | None = None
        self._host = host
        self._swarm: Swarm = swarm_of(host)
        self._door = door_of(self._swarm)
        self._hello = hello
        self._service = service
        self._on_hello = on_hello
        self._sessions: dict[NodeId, _Session] = {}
        self._served: dict[NodeId, tuple[trio.CancelScope, Server]] = {}
        self._standing = Standing()
        self._nursery: trio.Nursery | None = None

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Greet whoever connects, during the block."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._host.set_stream_handler(TProtocol(CONTROL_PROTOCOL), self._serve)
            yield
            nursery.cancel_scope.cancel()
        self._nursery = None
        self.events.close()

    # --- who is there -----------------------------------------------------------------------------

    def members(self) -> tuple[NodeId, ...]:
        """Connected peers that greeted with our network id, sorted."""
        return tuple(sorted(peer for peer, session in self._sessions.items() if session.is_up))

    async def wait_member(self, peer: NodeId) -> None:
        """Return once a connected peer has greeted. Raises Unreachable."""
        await self._session(peer).wait_asker()

    def is_connected(self, peer: NodeId) -> bool:
        """Whether there is a connection that is not about to close."""
        return any(
            not connection.is_closed and not connection.muxed_conn.is_closed
            for connection in self._swarm.get_connections(ID(peer_id_bytes(peer)))
        )

    def is_shunned(self, peer: NodeId) -> bool:
        """Whether we hung up on it lately for what it sent."""
        return self._standing.is_shunned(peer, trio.current_time())

    async def asker(self, peer: NodeId) -> Asker:
        """Where to send requests to a connected peer. Raises Unreachable."""
        if peer not in self._sessions and not self.is_connected(peer):
            raise Unreachable(f"{short(peer)} is not connected")
        return await self._session(peer).wait_asker()

    def on_connected(self, peer_id: ID) -> None:
        """A connection is open now."""
        peer = node_of_peer_id(peer_id.to_bytes())
        if self._nursery is None:
            return
        if peer is None or self.is_shunned(peer):
            self._nursery.start_soon(self._hang_up, peer_id)
        else:
            self._session(peer)

    def links(self) -> tuple[Link, ...]:
        """See `Network.links`."""
        return tuple(self._link(self._sessions[peer]) for peer in self.members())

    def round_trips_us(self) -> dict[NodeId, int]:
        """See `Network.round_trips_us`."""
        measured = ((peer, round_trip_us(self._host, peer)) for peer in self.members())
        return {peer: found for peer, found in measured if found is not None}

    def thank(self, peer: NodeId) -> None:
        """It gave us something that we wanted."""
        if peer in self._sessions:
            self._sessions[peer].useful_at = trio.current_time()

    async def hang_up(self, peer: NodeId) -> None:
        """Close every connection to a peer."""
        await self._hang_up(ID(peer_id_bytes(peer)))

    def _link(self, session: _Session) -> Link:
        peer = session.peer
        host = remote_host(self._host, peer)
        asks = session.asker is not None and session.asker.is_busy
        return Link(
            peer=peer,
            host=host,
            prefix=prefix_of_host(host),
            is_outbound=is_outbound(self._host, peer),
            since=session.since,
            useful_at=session.useful_at,
            faults=self._standing.faults(peer, trio.current_time()),
            is_busy=asks or (peer in self._served and self._served[peer][1].is_busy),
        )

    # --- standing ---------------------------------------------------------------------------------

    def blame(self, peer: NodeId, fault: Fault = Fault.GOSSIP) -> None:
        """It sent something objectively invalid; too much of that and we hang up."""
        is_too_much = self._standing.blame(peer, fault, trio.current_time())
        if is_too_much and self._nursery is not None:
            log.warning("hanging up on %s: it keeps sending what is invalid", short(peer))
            self._nursery.start_soon(self._hang_up, ID(peer_id_bytes(peer)))

    # --- asking -----------------------------------------------------------------------------------

    def _session(self, peer: NodeId) -> _Session:
        session = self._sessions.get(peer)
        if session is None:
            session = self._sessions[peer] = _Session(peer)
            assert self._nursery is not None
            self._nursery.start_soon(self._hold, session)
        return session

    async def _hold(self, session: _Session) -> None:
        """Keep a control stream open while there is a connection."""
        peer = session.peer
        try:
            for _ in range(_STREAMS_PER_SESSION_MAX):
                if not self.is_connected(peer):
                    break
                await self._talk(session)
            else:
                raise BrokenProtocol(f"{short(peer)} keeps breaking the control stream")
        except GridError as error:
            session.complaint = session.complaint or error
            if isinstance(error, PeerError):
                self.blame(peer, Fault.PROTOCOL)
            level = logging.WARNING if isinstance(error, PeerError) else logging.DEBUG
            log.log(level, "hanging up on %s: %s", short(peer), error)
            await self._hang_up(ID(peer_id_bytes(peer)))
        self._end(session)
        if self.is_connected(peer):  # it came back while we were at it
            self._session(peer)

    async def _talk(self, session: _Session) -> None:
        """One control stream, from opening to its end.

        Raises:
            OtherGrid, BrokenProtocol, Unreachable: there is no point in another one.
        """
        stream = await self._open_stream(session.peer)
        try:
            with trio.fail_after(HELLO_SECONDS_MAX):
                self._check(session.peer, await say_hello(stream, self._hello()))
            asker = Asker(stream, session.peer)
            session.change(asker)
            self._up(session)
            await asker.run()
            if asker.must_hang_up:
                raise asker.ended or Unreachable("it is gone")
        except trio.TooSlowError:
            raise Unreachable("it does not greet") from None
        finally:
            session.change(None)  # when something was raised, the whole connection is closed next
        await stream.aclose()

    async def _open_stream(self, peer: NodeId) -> Libp2pStream:
        try:
            with trio.fail_after(HELLO_SECONDS_MAX):
                opened = await self._host.new_stream(
                    ID(peer_id_bytes(peer)), [TProtocol(CONTROL_PROTOCOL)]
                )
        except Exception as error:
            # libp2p raises what its layers happen to raise; all of it means the same here.
            raise Unreachable(f"it opens no control stream: {error}") from error
        return Libp2pStream(opened)

    def _check(self, peer: NodeId, hello: Hello) -> None:
        ours = self._hello().network
        if hello.network != ours:
            raise OtherGrid(f"it is of another grid ({hello.network.hex()}, ours is {ours.hex()})")
        self._on_hello(peer, hello)

    def _up(self, session: _Session) -> None:
        self._door.settle(self._swarm.get_connections(ID(peer_id_bytes(session.peer))))
        if not session.is_up:
            session.is_up = True
            log.info("%s is connected", short(session.peer))
            self.events.tell(PeerUp(session.peer))
        if self.gossip is not None and self._nursery is not None:
            self._nursery.start_soon(self.gossip.admit, session.peer)

    def _end(self, session: _Session) -> None:
        peer = session.peer
        del self._sessions[peer]
        session.is_over = True
        session.change(None)
        if self.gossip is not None:
            self.gossip.forget(peer)
        self._forget_addresses(ID(peer_id_bytes(peer)))
        if session.is_up:
            log.info("%s is gone: %s", short(peer), session.complaint or "it hung up")
            self.events.tell(PeerDown(peer))

    def _forget_addresses(self, peer_id: ID) -> None:
        """Keys cost nothing to make: what libp2p notes of every peer it met would fill memory."""
        try:
            self._swarm.peerstore.clear_peerdata(peer_id)
        except PeerStoreError:
            log.debug("libp2p had noted nothing of %s", peer_id)

    async def _hang_up(self, peer_id: ID) -> None:
        with trio.CancelScope(shield=True):
            await close_sockets(self._swarm.get_connections(peer_id))
            await self._swarm.close_peer(peer_id)

    # --- answering --------------------------------------------------------------------------------

    async def _serve(self, net_stream: INetStream) -> None:
        """The handler of inbound control streams."""
        peer_id = net_stream.muxed_conn.peer_id
        peer = node_of_peer_id(peer_id.to_bytes())
        stream = Libp2pStream(net_stream)
        try:
            if peer is not None:
                await self._answer(stream, peer)
        except PeerError as error:
            log.warning("hanging up on %s: %s", peer_id, error)
            if peer is not None:
                self.blame(peer, Fault.PROTOCOL)
            if peer in self._sessions:
                self._sessions[peer].complaint = error
            await self._hang_up(peer_id)
        except (Unreachable, trio.TooSlowError) as error:
            log.debug("the control stream of %s ended: %s", peer_id, error)
        finally:
            await stream.aclose()

    async def _answer(self, stream: Libp2pStream, peer: NodeId) -> None:
        with trio.fail_after(HELLO_SECONDS_MAX):
            hello = await answer_hello(stream, self._hello())
        self._check(peer, hello)
        with trio.CancelScope() as scope:
            if peer in self._served:
                self._served[peer][0].cancel()
                self._doubt(peer)
            server = Server(stream, peer, self._service)
            self._served[peer] = scope, server
            try:
                await server.run()
            finally:
                if self._served.get(peer) == (scope, server):
                    del self._served[peer]

    def _doubt(self, peer: NodeId) -> None:
        """A peer that opens a second control stream may have lost the first connection."""
        session = self._sessions.get(peer)
        if session is not None and session.asker is not None:
            session.asker.doubt()
