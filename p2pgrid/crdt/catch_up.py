"""Which peer to pull from next, and when. Decides only: the pulls themselves run elsewhere.

    peer_up(peer)         it is pulled from soon, several such peers at once
    nudge(peer)           the same: it knows what we lack
    hint(peer, now)       it said something that we did not take at that time: a little later
    due(now)              the peers to begin pulls from now; each must come back by `ended`
    begin(peer, …)        the pull of one of them, which goes on where the last one ended
    ended(peer, outcome)  how it went; a peer that fails or lies has to wait longer each time
    wake_at()             when to ask `due` again, if nothing else happens before

Beside the peers that came up, a random one is pulled from now and then: what is
pushed gets lost. Slow peers that came up hold up no random one, and the other way around.
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from random import Random

from p2pgrid.crdt.messages import NONCE_BYTES
from p2pgrid.crdt.reconcile import NO_CURSOR, Cursor, Pull
from p2pgrid.crdt.trie import HashTrie
from p2pgrid.crdt.unwanted import UnwantedIds
from p2pgrid.limits.crdt import (
    CURSORS_MAX,
    HINTED_PULL_MS,
    LIAR_BACK_OFF_MS_MIN,
    PULL_BACK_OFF_MS_MAX,
)


class Outcome(Enum):
    """How a pull ended."""

    LEVEL = 1
    """All that the peer has is here."""
    MORE = 2
    """It brought news, and there is more."""
    FAILED = 3
    """The peer was not reached, or too slow."""
    LIED = 4
    """The peer sent what nobody should."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often a feature pulls."""

    first_pauses_ms: tuple[int, ...]
    """Before the first pulls from random peers."""
    pause_ms_min: int
    pause_ms_max: int
    """Before every later one."""
    at_once: int
    """Pulls at the same time from peers that came up."""
    same_peer_ms_min: int
    """From the begin of a pull to the next one from the same peer, if it is nudged."""
    trust_ms: int
    """How long a comparison of the whole sets counts: until then news are enough."""
    back_off_ms_min: int
    """After the first pull that failed; doubles."""


@dataclass(slots=True)
class _Known:
    """What is remembered of a peer, also when it is gone."""

    cursor: Cursor = NO_CURSOR
    compared_ms: int | None = None
    wanted_again: int = 0
    """What the unwanted ids said of it then."""
    begun_ms: int | None = None
    failures: int = 0
    waits_until_ms: int = 0
    first_wait_until_ms: int = 0
    """What `waits_until_ms` would be had it failed but once, the last time."""
    has_lied: bool = False
    """Since the last pull from it that went well."""


class CatchUp:
    """Plans the pulls of one feature. Times are of any clock that does not go back."""

    def __init__(self, rhythm: Rhythm, random: Random, now_ms: int) -> None:
        self._rhythm = rhythm
        self._random = random
        self._up: dict[bytes, None] = {}
        self._wanted: dict[bytes, None] = {}
        """Peers to pull from next, in order among those with as many `_turns`."""
        self._hinted_ms: dict[bytes, int] = {}
        """When connected peers become wanted that have what we did not take."""
        self._pulling: dict[bytes, bool] = {}
        """Peers with a pull under way, and whether they were chosen at random."""
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._rounds = 0
        self._random_ms = now_ms + self._pause_ms()

    # --- events -----------------------------------------------------------------------------------

    def peer_up(self, peer: bytes) -> None:
        """There is a connection to this peer.

        After failures, a new one makes it wait no longer than after the first: it was cut off
        perhaps. Who lied gains nothing; a new name would get a liar further anyway.
        """
        known = self._known.get(peer)
        if known is not None and not known.has_lied:
            known.waits_until_ms = min(known.waits_until_ms, known.first_wait_until_ms)
        self._up[peer] = None
        self._wanted[peer] = None

    def peer_down(self, peer: bytes) -> None:
        """The last connection to it is gone."""
        self._up.pop(peer, None)
        self._wanted.pop(peer, None)
        self._hinted_ms.pop(peer, None)

    def nudge(self, peer: bytes) -> None:
        """Something that we lack is known to this peer."""
        self._wanted[peer] = None

    def hint(self, peer: bytes, now_ms: int) -> None:
        """A connected peer has something that we did not take when it said so.

        It is pulled from some time after the first hint, whatever number of them comes until then.
        """
        if peer in self._up:
            self._hinted_ms.setdefault(peer, now_ms + HINTED_PULL_MS)

    def due(self, now_ms: int) -> list[bytes]:
        """The peers from which to begin a pull now."""
        for peer in [one for one, due_ms in self._hinted_ms.items() if due_ms <= now_ms]:
            del self._hinted_ms[peer]
            self._wanted[peer] = None
        begun = []
        for peer in sorted(self._wanted, key=self._turns):
            if sum(not is_random for is_random in self._pulling.values()) >= self._rhythm.at_once:
                break
            if self._ready_ms(peer) <= now_ms and peer not in self._pulling:
                del self._wanted[peer]
                begun.append(self._begun(peer, now_ms, is_random=False))
        if now_ms >= self._random_ms and True not in self._pulling.values():
            self._random_ms = now_ms + self._pause_ms()
            chosen = self._chosen(now_ms)
            if chosen is not None:
                self._wanted.pop(chosen, None)
                begun.append(self._begun(chosen, now_ms, is_random=True))
        return begun

    def _chosen(self, now_ms: int) -> bytes | None:
        """One of the peers that are ready, each as likely as any other."""
        if not self._up:
            return None
        peer = self._random.choice(list(self._up))
        if self._is_ready(peer, now_ms):  # as mostly
            return peer
        ready = [one for one in self._up if self._is_ready(one, now_ms)]
        return self._random.choice(ready) if ready else None

    def _is_ready(self, peer: bytes, now_ms: int) -> bool:
        return peer not in self._pulling and self._ready_ms(peer) <= now_ms

    def begin(self, peer: bytes, ids: HashTrie, unwanted: UnwantedIds, now_ms: int) -> Pull:
        """The pull from a peer that was due. Tell `ended` of it."""
        known = self._remember(peer)
        compared_ms = known.compared_ms
        is_trusted = (
            compared_ms is not None
            and now_ms < compared_ms + self._rhythm.trust_ms
            and known.wanted_again == unwanted.wanted_again
        )
        known.wanted_again = unwanted.wanted_again
        nonce = self._random.randbytes(NONCE_BYTES)
        return Pull(ids, unwanted, nonce=nonce, cursor=known.cursor, is_trusted=is_trusted)

    def ended(self, peer: bytes, outcome: Outcome, now_ms: int, pull: Pull | None = None) -> None:
        """A pull is over.

        Args:
            peer: that it was from.
            outcome: how it went.
            now_ms: the time.
            pull: with LEVEL and MORE, the one that `begin` gave.
        """
        if self._pulling.pop(peer, False):
            self._random_ms = max(self._random_ms, now_ms + self._pause_ms())
        known = self._remember(peer)
        if outcome in (Outcome.FAILED, Outcome.LIED):
            first_ms = self._rhythm.back_off_ms_min
            if outcome is Outcome.LIED:
                first_ms = max(first_ms, LIAR_BACK_OFF_MS_MIN)
            doubled_ms = first_ms << min(known.failures, 16)
            known.waits_until_ms = now_ms + min(doubled_ms, PULL_BACK_OFF_MS_MAX)
            known.first_wait_until_ms = now_ms + first_ms
            known.failures += 1
            known.has_lied |= outcome is Outcome.LIED
            return
        known.has_lied = False
        known.failures = known.waits_until_ms = 0
        if outcome is Outcome.MORE:
            self._wanted = {peer: None, **self._wanted}
        if pull is not None and not pull.is_partial:
            known.cursor = pull.cursor
            if pull.is_compared:
                known.compared_ms = now_ms

    def wake_at(self) -> int:
        """When a pull is due if nothing happens before; ask after every event."""
        times = [] if True in self._pulling.values() else [self._random_ms]
        times += self._hinted_ms.values()
        if sum(not one for one in self._pulling.values()) < self._rhythm.at_once:
            times += [self._ready_ms(one) for one in self._wanted if one not in self._pulling]
        # With a pull under way and nothing to wait for, its end is the next event.
        return min(times, default=self._random_ms + self._rhythm.pause_ms_max)

    # --- inside -----------------------------------------------------------------------------------

    def _begun(self, peer: bytes, now_ms: int, *, is_random: bool) -> bytes:
        self._pulling[peer] = is_random
        self._remember(peer).begun_ms = now_ms
        return peer

    def _turns(self, peer: bytes) -> int:
        """The order of those that wait: who never had a turn, who had one, who failed least often.

        So those that are slow on purpose, or have more without end, keep nobody else waiting.
        """
        known = self._known.get(peer)
        if known is None or known.begun_ms is None:
            return 0
        return 1 + known.failures

    def _ready_ms(self, peer: bytes) -> int:
        known = self._known.get(peer)
        if known is None:
            return 0
        begun_ms = known.begun_ms
        same_ms = 0 if begun_ms is None else begun_ms + self._rhythm.same_peer_ms_min
        return max(known.waits_until_ms, same_ms)

    def _pause_ms(self) -> int:
        pauses = self._rhythm.first_pauses_ms
        self._rounds += 1
        if self._rounds <= len(pauses):
            return pauses[self._rounds - 1]
        return self._random.randint(self._rhythm.pause_ms_min, self._rhythm.pause_ms_max)

    def _remember(self, peer: bytes) -> _Known:
        known = self._known.setdefault(peer, _Known())
        self._known.move_to_end(peer)
        if len(self._known) > CURSORS_MAX:
            self._known.popitem(last=False)
        return known
