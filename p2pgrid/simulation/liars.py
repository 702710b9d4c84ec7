"""Nodes that do not do what the program does."""

from dataclasses import replace

from nacl.signing import SigningKey

from p2pgrid.explorer.announce import Stamp, announcement_of, update_of
from p2pgrid.limits.explorer import NODE_LEASE_MS
from p2pgrid.limits.simulation import ACT_SECONDS, FLOOD_KEYS
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import Topic
from p2pgrid.net.spread_messages import Announce, Item, Push, SpreadMessage
from p2pgrid.simulation.node import Node
from p2pgrid.units import HOUR_MS, TimestampMs
from p2pgrid.wire.codec import encode
from p2pgrid.wire.signed import Envelope, open_envelope, sign


class Liar(Node):
    """Acts every few seconds. Answers pulls honestly unless it says otherwise."""

    is_honest = False

    def begin(self) -> None:
        """Start to act."""
        self.world.scheduler.after(self.random.uniform(0.0, ACT_SECONDS), self._again)

    def act(self) -> None:
        """What it does."""

    def _again(self) -> None:
        self.act()
        self.world.scheduler.after(ACT_SECONDS, self._again)

    def tell(self, envelope: bytes) -> None:
        """Give an envelope to every peer."""
        for peer in self.world.reachable(self):
            self.tell_one(peer, envelope)

    def tell_one(self, peer: int, envelope: bytes) -> None:
        """Give an envelope to one peer."""
        message = Push((Item(Topic.CAPACITY, envelope),))
        self.world.spread(self, self.world.nodes[peer].id, message)


class Silent(Liar):
    """Is connected, wants to hear everything and be chosen, and gives nothing on."""

    def send(self, peer: NodeId, message: SpreadMessage) -> None:
        """Only what makes others rely on it."""
        if not isinstance(message, Push | Announce):
            super().send(peer, message)

    def answer(self, asker: NodeId, request: bytes) -> bytes | None:  # noqa: ARG002 - whatever was asked
        """Nothing."""
        return None


class Stale(Liar):
    """Tells again and again what others said long ago, and what nodes said that are gone."""

    def act(self) -> None:
        """Replay a record past its lease."""
        key = SigningKey(self.random.randbytes(32))
        node = NodeId(bytes(key.verify_key))
        said_ms = TimestampMs(self.world.true_ms() - NODE_LEASE_MS - HOUR_MS)
        facts = replace(self.facts, node=node)
        self.tell(
            sign(announcement_of(facts, Stamp(1, 0, said_ms)), key, self.world.network).envelope
        )


class Equivocating(Liar):
    """Says one thing to half of its peers, and another with the same version to the others."""

    def act(self) -> None:
        """Two records of one register with one version."""
        now_ms = self.now_ms()
        stamp = Stamp(now_ms // 1000, 0, now_ms)
        for side, reservations in enumerate((1, 2)):
            record = update_of(self.id, replace(self.load, reservations=reservations), stamp)
            envelope = sign(record, self.key, self.world.network).envelope
            for peer in self.world.reachable(self)[side::2]:
                self.tell_one(peer, envelope)


class Flooding(Liar):
    """Makes up nodes, as many as it can."""

    made = 0

    def act(self) -> None:
        """A few announcements of new keys, and one more of its own each time."""
        now_ms = self.now_ms()
        stamp = Stamp(now_ms // 1000, 0, now_ms)
        for _ in range(min(5, FLOOD_KEYS - self.made)):
            self.made += 1
            key = SigningKey(self.random.randbytes(32))
            facts = replace(self.facts, node=NodeId(bytes(key.verify_key)))
            self.tell(sign(announcement_of(facts, stamp), key, self.world.network).envelope)
        record = update_of(self.id, self.load, stamp)
        self.tell(sign(record, self.key, self.world.network).envelope)


class Poisoning(Liar):
    """Sends garbage and forged records, and answers pulls with them."""

    def act(self) -> None:
        """Garbage, and a record that somebody else should have signed."""
        self.tell(self.random.randbytes(self.random.randint(1, 200)))
        self.tell(self._forged())

    def _forged(self) -> bytes:
        victim = self.random.choice(self.world.nodes)
        now_ms = self.now_ms()
        record = update_of(victim.id, victim.load, Stamp(now_ms // 1000, 1, now_ms))
        key = SigningKey(self.random.randbytes(32))
        own = replace(record, node=NodeId(bytes(key.verify_key)))
        honest = open_envelope(sign(own, key, self.world.network).envelope)
        return encode(Envelope(honest.kind, encode(record), honest.signature))

    def answer(self, asker: NodeId, request: bytes) -> bytes | None:
        """Sometimes the truth, sometimes an answer with bytes changed, sometimes anything."""
        true = super().answer(asker, request)
        chance = self.random.random()
        if true is None or chance < 0.3:
            return true
        if chance < 0.6:
            return self.random.randbytes(self.random.randint(0, 300))
        broken = bytearray(true)
        for _ in range(self.random.randint(1, 4)):
            broken[self.random.randrange(len(broken))] = self.random.getrandbits(8)
        return bytes(broken)
