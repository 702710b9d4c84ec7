"""One run under way: nodes change, time passes, rules are watched."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from p2pgrid.crdt.register import RegisterKey, version_of
from p2pgrid.errors import PeerError
from p2pgrid.explorer.announce import Load
from p2pgrid.explorer.records import lease_ms_of, verify_record
from p2pgrid.limits import simulation as limits
from p2pgrid.limits.explorer import ANNOUNCE_INTERVAL_MS, RECORD_AHEAD_MS_MAX
from p2pgrid.simulation.node import Node
from p2pgrid.simulation.result import Violation
from p2pgrid.simulation.world import NETWORK, World
from p2pgrid.units import SECOND_MS
from p2pgrid.wire.codec import kind_of
from p2pgrid.wire.kinds import RecordKind

_WATCHED_NODES = 5
"""Whose registers are watched: they never go back."""
_STEPS = 20


@dataclass(slots=True)
class Run:
    """One run under way: what it found so far."""

    world: World
    minutes: float
    tell: Callable[[float], None]
    """Called with the share of the run that is done."""
    violations: list[Violation] = field(default_factory=list)
    series: list[tuple[float, float]] = field(default_factory=list)
    roots_equal_seconds: float | None = None
    _told: float = 0.0
    _versions: dict[tuple[int, object], tuple[int, int, bytes]] = field(default_factory=dict)

    def require(self, holds: object, rule: str) -> None:
        """Note that a rule does not hold."""
        if not holds and all(one.rule != rule for one in self.violations):
            scheduler = self.world.scheduler
            self.violations.append(Violation(rule, scheduler.seed, round(scheduler.now, 3)))

    def change(self, seconds: float) -> None:
        """Let nodes take and lose reservations for so long, at the rate of the setting."""
        world, random = self.world, self.world.scheduler.random_of("changes")
        end = world.scheduler.now + seconds
        world.is_measuring = True
        for node in world.honest:
            self._plan_announcement(node, random, seconds)
            self._plan_change(node, random, end)
        self.wait(seconds, share=(0.0, 0.8))

    def settle(self, seconds: float, *, is_over: Callable[[], bool]) -> None:
        """Change nothing, and see when all roots are equal; at most so many seconds."""
        scheduler = self.world.scheduler
        begun_at, told = scheduler.now, self._told
        while scheduler.now < begun_at + seconds:
            agreement = self.world.agreement()
            self.series.append((scheduler.now - begun_at, agreement))
            if agreement == 1.0 and self.roots_equal_seconds is None:
                self.roots_equal_seconds = scheduler.now - begun_at
            if agreement == 1.0 and is_over():
                break
            scheduler.run(scheduler.now + limits.ROOTS_CHECK_SECONDS)
            self.tell(told + (1.0 - told) * min(1.0, (scheduler.now - begun_at) / seconds))
        self.tell(1.0)

    def watch(self) -> None:
        """See that registers never go back, at a few nodes."""
        for node in self.world.honest[:_WATCHED_NODES]:
            for kind, author in self.world.newest:
                self._watch_register(node, kind, author)

    def _watch_register(self, node: Node, kind: int, author: bytes) -> None:
        held = node.view.get(RegisterKey(RecordKind(kind), author, b""))
        if held is None:
            return
        is_due = held.record.time_ms <= node.now_ms() + RECORD_AHEAD_MS_MAX
        self.require(is_due, "a record is held before its time")
        key, version = (node.number, (kind, author)), version_of(held)
        if node.incarnations == 1 or not self.world.setting.has_disks:
            self.require(version >= self._versions.get(key, version), "a register went back")
        self._versions[key] = version

    def _plan_change(self, node: Node, random: Random, end: float) -> None:
        pause = random.expovariate(self.world.setting.changes_per_hour / 3600)
        if self.world.scheduler.now + pause < end:
            self.world.scheduler.after(pause, self._change, node, random, end)

    def _plan_announcement(self, node: Node, random: Random, seconds: float) -> None:
        """Each node announced itself at some time, and does it again when that is long ago."""
        ago_ms = random.randrange(ANNOUNCE_INTERVAL_MS)
        node.announcer.announced_ms = node.now_ms() - ago_ms
        due_seconds = (ANNOUNCE_INTERVAL_MS - ago_ms) / SECOND_MS
        if due_seconds < seconds:
            self.world.scheduler.after(due_seconds, self._announce, node)

    def _announce(self, node: Node) -> None:
        if node.is_up:
            node.speak()

    def _change(self, node: Node, random: Random, end: float) -> None:
        if node.is_up:
            taken = random.randint(1, 20)
            total = node.facts.total
            free = replace(total, millicores=total.millicores - 1000 * taken)
            before = node.load.reservations
            node.load = Load(free, before + random.choice((-1, 1)) if before else 1)
            node.speak()
        self._plan_change(node, random, end)

    def wait(self, seconds: float, *, share: tuple[float, float]) -> None:
        """Let time pass, tell how far it is, and watch."""
        scheduler, (first, last) = self.world.scheduler, share
        for step in range(1, _STEPS + 1):
            scheduler.run(scheduler.now + seconds / _STEPS)
            self.watch()
            self._told = first + (last - first) * step / _STEPS
            self.tell(self._told)

    def check_records(self) -> None:
        """What must be so of every record at every honest node, in every scenario."""
        genuine: dict[bytes, bool] = {}
        now_ms = self.world.true_ms()
        for node in self.world.honest:
            for identity in node.view.ids:
                envelope = node.view.record(identity)
                assert envelope is not None
                if envelope not in genuine:
                    genuine[envelope] = _is_genuine(envelope, now_ms)
                if not (is_genuine := genuine[envelope]):
                    self.require(is_genuine, "a forged or outdated record is held")
        self.require(not self.world.lost(), "a record of an honest node is lost")


def _is_genuine(envelope: bytes, now_ms: int) -> bool:
    try:
        signed = verify_record(envelope, NETWORK)
    except PeerError:
        return False
    if signed is None:
        return False
    age_ms = now_ms - signed.record.time_ms
    return age_ms <= lease_ms_of(kind_of(type(signed.record))) + limits.CLOCK_SKEW_MS_MAX
