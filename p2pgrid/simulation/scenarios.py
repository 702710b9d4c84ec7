"""The scenarios: what happens to a grid in each, and which rules must hold."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from p2pgrid.collector import uncollected
from p2pgrid.errors import BadInput
from p2pgrid.explorer.records import QUOTAS
from p2pgrid.explorer.shelf import Quota
from p2pgrid.limits import simulation as limits
from p2pgrid.limits.crdt import CURSOR_TRUST_MS
from p2pgrid.limits.explorer import RECORD_AHEAD_MS_MAX
from p2pgrid.simulation import array_run
from p2pgrid.simulation.eclipse import Siege, kinds_of_nodes
from p2pgrid.simulation.liars import Equivocating, Flooding, Liar, Poisoning, Silent, Stale
from p2pgrid.simulation.node import Exchange, Node
from p2pgrid.simulation.result import Result, curve_of, percentiles
from p2pgrid.simulation.run import Run
from p2pgrid.simulation.wires import Faults
from p2pgrid.simulation.world import Setting, World
from p2pgrid.wire.kinds import RecordKind

Grid = type[World]
MODELS = ("cores", "arrays")
"""The program's own cores, or arrays that follow the same rules."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What `p2pgrid simulate` can show."""

    title: str
    minutes: float
    """For how long records change unless told otherwise."""
    play: Callable[[Setting, float, Callable[[float], None], Grid], Run]
    attacks_go_on: bool = False
    """Whether attackers publish to the end, so that roots need not become equal."""


def simulate(  # noqa: PLR0913 - one for each option of the command
    name: str,
    *,
    nodes: int,
    seed: int,
    minutes: float | None = None,
    changes_per_hour: float = limits.CHANGES_PER_HOUR,
    tell: Callable[[float], None] = lambda _share: None,
    grid: Grid = World,
    model: str | None = None,
) -> Result:
    """Run a scenario, with the program's own cores unless there are too many nodes for that.

    Args:
        name: one of SCENARIOS.
        nodes: how many.
        seed: everything follows from it.
        minutes: for how long records change; None: as long as the scenario needs.
        changes_per_hour: of each node, on average.
        tell: called with the share that is done.
        grid: the rules of the grid; tests break one.
        model: one of MODELS; None: arrays for `converge` of more than REAL_NODES_MAX nodes.

    Raises:
        BadInput: there is no such scenario, or it is too large.
    """
    if name not in SCENARIOS:
        raise BadInput(f"no scenario {name}; there are: {', '.join(SCENARIOS)}")
    scenario = SCENARIOS[name]
    is_of_arrays = _is_of_arrays(name, nodes, model)
    if minutes is None:
        minutes = limits.ARRAY_MINUTES if is_of_arrays else scenario.minutes
    deliveries_max = limits.ARRAY_DELIVERIES_MAX if is_of_arrays else limits.DELIVERIES_MAX
    _check_deliveries(nodes * nodes * minutes / 60 * changes_per_hour, deliveries_max)
    if is_of_arrays:
        return array_run.converge(
            nodes=nodes,
            seed=seed,
            minutes=minutes,
            changes_per_hour=changes_per_hour,
            tell=tell,
        )
    setting = Setting(nodes=nodes, seed=seed, changes_per_hour=changes_per_hour)
    wall, cpu = time.perf_counter(), time.process_time()
    with uncollected():  # a grid is millions of objects in few cycles
        run = scenario.play(setting, minutes, tell, grid)
        result = _result_of(run, name)
    result.wall_seconds = time.perf_counter() - wall
    result.cpu_seconds = time.process_time() - cpu
    return result


def _check_deliveries(count: float, count_max: int) -> None:
    """Refuse what nobody waits for. Raises BadInput."""
    if not count <= count_max:
        raise BadInput(
            f"that is about {count:.3g} deliveries of changed records, and at most {count_max:.3g} "
            "are simulated: take fewer nodes, minutes or changes"
        )


def _is_of_arrays(name: str, nodes: int, model: str | None) -> bool:
    """Whether to use the model of arrays. Raises BadInput: it is not there, or too small."""
    if name != "converge" and model == "arrays":
        raise BadInput(f"{name} runs with the program's cores only")
    has_arrays = name == "converge" and model != "cores"
    nodes_max = limits.ARRAY_NODES_MAX if has_arrays else limits.REAL_NODES_MAX
    if not limits.NODES_MIN <= nodes <= nodes_max:
        raise BadInput(f"{name} takes {limits.NODES_MIN} to {nodes_max} nodes")
    return has_arrays and (model == "arrays" or nodes > limits.REAL_NODES_MAX)


def _result_of(run: Run, name: str) -> Result:
    world = run.world
    run.check_records()
    agreed = run.roots_equal_seconds
    run.require(not world.wrongly_blamed, "an honest node was blamed by an honest one")
    attacks_go_on = SCENARIOS[name].attacks_go_on
    run.require(agreed is not None or attacks_go_on, "roots are not equal in the end")
    count = world.setting.nodes
    receivers = max(1, len(world.honest) - 1)
    wanted = max(1, world.measured_records * receivers)
    mbit = 8e-6 / (60 * run.minutes) / count
    return Result(
        scenario=name,
        nodes=count,
        seed=world.setting.seed,
        minutes=run.minutes,
        changes_per_hour=world.setting.changes_per_hour,
        model="cores",
        records=world.measured_records,
        reach_seconds=percentiles(world.delays),
        reached_permille=min(1000, 1000 * len(world.delays) // wanted),
        copies=world.copies / wanted,
        gossip_mbit=world.gossip_bytes * mbit,
        reconcile_mbit=world.reconcile_bytes * mbit,
        records_lost=len(world.lost()),
        roots_equal_seconds=agreed,
        attacks_go_on=attacks_go_on,
        digest=world.scheduler.digest(),
        memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        violations=tuple(run.violations),
        curve=curve_of(world.delays, wanted),
        series=tuple(run.series),
    )


def _converge(setting: Setting, minutes: float, tell: Callable[[float], None], grid: Grid) -> Run:
    """Nodes change now and then; everybody hears of it."""
    run = _begun(grid(setting, lambda _: Node), minutes, tell)
    run.change(60 * minutes)
    run.settle(limits.QUIET_SECONDS, is_over=lambda: True)
    return run


def _churn(setting: Setting, minutes: float, tell: Callable[[float], None], grid: Grid) -> Run:
    """Nodes lose power in the midst of writing, and come back with what their disks kept."""
    world = grid(replace(setting, has_disks=True), lambda _: Node)
    run = _begun(world, minutes, tell)
    random = world.scheduler.random_of("churn")
    end = 60 * minutes

    def die(node: Node) -> None:
        if world.scheduler.now < end:
            world.kill(node)
            away = random.expovariate(1 / limits.OUTAGE_SECONDS)
            world.scheduler.at(min(world.scheduler.now + away, end), come_back, node)

    def come_back(node: Node) -> None:
        world.revive(node)
        live(node)

    def live(node: Node) -> None:
        world.scheduler.after(random.expovariate(1 / limits.UPTIME_SECONDS), die, node)

    for node in world.nodes:
        live(node)
    run.change(end)
    run.settle(limits.QUIET_SECONDS, is_over=lambda: True)
    _require_equal_soon(run)
    return run


def _partition_heal(
    setting: Setting, minutes: float, tell: Callable[[float], None], grid: Grid
) -> Run:
    """The grid is cut in halves, both go on, and then they find each other again."""
    world = grid(setting, lambda _: Node)
    run = _begun(world, minutes, tell)
    random = world.scheduler.random_of("sides")
    side = [number % 2 for number in range(setting.nodes)]
    random.shuffle(side)
    world.cut(side)
    run.change(60 * minutes)
    world.heal()
    run.settle(limits.QUIET_SECONDS, is_over=lambda: True)
    _require_equal_soon(run)
    return run


def _silent_third(
    setting: Setting, minutes: float, tell: Callable[[float], None], grid: Grid
) -> Run:
    """A third of all peers say and forward nothing; one pull that goes through brings the rest."""
    random = grid(Setting(nodes=1, seed=setting.seed), lambda _: Node).scheduler.random_of("silent")
    count = round(limits.SILENT_SHARE * setting.nodes)
    silent = set(random.sample(range(setting.nodes), count))
    world = grid(setting, lambda number: Silent if number in silent else Node)
    run = _begun(world, minutes, tell)
    run.change(60 * minutes)
    changed_until = world.scheduler.now
    waiting = {node.number for node in world.honest}
    lacking: set[int] = set()

    def ended(node: Node, exchange: Exchange) -> None:
        if (
            node.number not in waiting
            or exchange.begun_at < changed_until + limits.IN_FLIGHT_SECONDS
        ):
            return
        waiting.discard(node.number)
        if any(one not in node.view.ids for one in world.newest.values()):
            lacking.add(node.number)

    world.ended = ended
    run.settle(4 * limits.QUIET_SECONDS, is_over=lambda: not waiting)
    run.require(not lacking, "a node lacks records after one reconcile round")
    return run


def _flood(setting: Setting, minutes: float, tell: Callable[[float], None], grid: Grid) -> Run:
    """Some nodes flood, replay, equivocate and poison; nobody is moved out, nothing false kept."""
    kinds: tuple[type[Liar], ...] = (Flooding, Poisoning, Stale, Equivocating)
    each = max(1, round(limits.LIAR_SHARE * setting.nodes))
    room = limits.FLOOD_ROOM * setting.nodes
    quotas = {
        kind: Quota(room if kind in _NODE_KINDS else quota.registers_max, quota.memory_bytes_max)
        for kind, quota in QUOTAS.items()
    }
    setting = replace(setting, quotas=quotas)
    world = grid(setting, lambda number: kinds[number // each] if number < 4 * each else Node)
    run = _begun(world, minutes, tell)
    run.change(60 * minutes)
    for node in world.honest:
        run.require(len(node.view) <= 2 * room, "a flood takes more than its room")
    run.require(world.rejected, "no honest node refused anything, so nobody attacked")
    run.require(world.honest[0].view.contradictions, "equivocation leaves no evidence")
    run.settle(limits.QUIET_SECONDS, is_over=lambda: True)
    return run


def _eclipse(setting: Setting, minutes: float, tell: Callable[[float], None], grid: Grid) -> Run:
    """Attackers own nine of ten addresses; nobody is alone with them, and records get through."""
    kinds = kinds_of_nodes(setting.nodes)
    # With one honest neighbour among many, what is lost on the way from it waits long for a pull.
    world = grid(replace(setting, faults=Faults(loss=0.0)), lambda number: kinds[number])
    run = _begun(world, minutes, tell)
    siege = Siege(world)
    world.scheduler.after(60 * minutes * limits.ECLIPSE_RESTART_SHARE, siege.restart)
    run.change(60 * minutes)
    run.settle(4 * limits.QUIET_SECONDS, is_over=lambda: True)
    run.require(
        siege.alone_seconds <= limits.ECLIPSE_ALONE_SECONDS_MAX,
        "a node has nobody but attackers as neighbours",
    )
    return run


_NODE_KINDS = (RecordKind.NODE_ANNOUNCEMENT, RecordKind.CAPACITY_UPDATE)


def _begun(world: World, minutes: float, tell: Callable[[float], None]) -> Run:
    world.start_settled()
    for node in world.nodes:
        if isinstance(node, Liar):
            node.begin()
    return Run(world, minutes, tell)


def _require_equal_soon(run: Run) -> None:
    seconds = run.roots_equal_seconds
    run.require(
        seconds is not None and seconds <= limits.HEAL_SECONDS_MAX,
        f"roots are equal {limits.HEAL_SECONDS_MAX:.0f} seconds after the last fault",
    )


def _wrong_clocks(
    setting: Setting, minutes: float, tell: Callable[[float], None], grid: Grid
) -> Run:
    """Clocks differ by more than a record may be ahead: it waits for its time, and then comes."""
    setting = replace(setting, skew_ms_max=limits.CLOCK_SKEW_MS_MAX)
    run = _begun(grid(setting, lambda _: Node), minutes, tell)
    run.change(60 * minutes)
    run.require(run.world.lost(), "clocks keep nothing back, so they are not wrong")
    run.wait(_HELD_BACK_SECONDS, share=(0.8, 0.9))
    run.settle(limits.QUIET_SECONDS, is_over=lambda: True)
    return run


_HELD_BACK_SECONDS = (2 * limits.CLOCK_SKEW_MS_MAX - RECORD_AHEAD_MS_MAX + CURSOR_TRUST_MS) / 1000
"""Until the time of a record has come everywhere, and whole sets were compared once more."""


SCENARIOS = {
    "converge": Scenario("How soon everybody knows what changed.", 10.0, _converge),
    "churn": Scenario("Nodes lose power and come back.", 30.0, _churn),
    "partition-heal": Scenario("Two halves for an hour, then one again.", 60.0, _partition_heal),
    "silent-third": Scenario("A third of all peers is mute.", 5.0, _silent_third),
    "flood": Scenario("Floods, forgeries, replays, equivocation.", 5.0, _flood, attacks_go_on=True),
    "eclipse": Scenario("Nine of ten addresses are attackers'.", 60.0, _eclipse),
    "wrong-clocks": Scenario("Clocks are wrong by up to ten minutes.", 10.0, _wrong_clocks),
}
"""By name, in the order in which they are told."""
