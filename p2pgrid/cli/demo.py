"""`p2pgrid demo`: the main job, end to end, on this machine and with nothing faked."""

import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.demo_grid import DemoGrid, Member, get_page, traces_of, wait_until
from p2pgrid.cli.demo_report import Report
from p2pgrid.cli.flist import absolute_source
from p2pgrid.cli.output import EXIT_STATUS, errors_shown, json_option, print_json
from p2pgrid.errors import BadInput, GridError, Unreachable
from p2pgrid.limits.demo import DEMO_GOSSIP_SECONDS_MAX
from p2pgrid.units import TFT, format_bytes, format_tft

_RECIPE = Path(__file__).parent.parent.parent / "images" / "demo" / "build"
_CONSUMER_TFT = 1000
_DEFAULT_PORT = 8080
_OPERATIONS = 3
"""Of one reservation: escrow opened, cancelled, settled."""
_IMAGE_NAME = "demo:1"


@click.command("demo", epilog=EXIT_STATUS)
@click.option("--nodes", type=click.IntRange(2, 20), default=3, show_default=True)
@click.option("--once", is_flag=True, help="End after the main job, and leave nothing behind.")
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False),
    help="New directory for the grid's data, not removed at the end.",
)  # fmt: skip
@click.option("--image", help="Any source of `flist convert`; default: built here from Debian.")
@json_option
def demo(nodes: int, once: bool, keep: Path | None, image: str | None, as_json: bool) -> None:
    """Show a whole grid at work.

    Farms boot, a consumer reserves, a real image runs, TFT moves; nothing is faked.

    \b
    Examples:
      p2pgrid demo --once
      p2pgrid demo --nodes 5 --keep /tmp/grid
      p2pgrid demo --image docker-archive:web.tar
    """
    with errors_shown(), _failure_told(as_json=as_json), _stoppable():
        with _workplace(keep) as place:
            job = MainJob(DemoGrid(place / "grid", nodes=nodes), place, image, Report(as_json))
            try:
                job.run()
                if not once:
                    job.stay_up()
            finally:
                job.tear_down()
        job.finish()


class MainJob:
    """The life of one reservation, step by step, as a user would do it."""

    def __init__(self, grid: DemoGrid, place: Path, image: str | None, report: Report) -> None:
        self._grid = grid
        self._place = place
        self._image = image
        self._report = report
        self._accounts: dict[str, str] = {}
        self._before: dict[str, int] = {}
        self._after: dict[str, int] = {}
        self._burnt = 0
        self._port = _DEFAULT_PORT

    def run(self) -> None:
        """Do all of it once."""
        self._found_grid()
        self._start()
        self._announce()
        flist = self._publish()
        made = self._reserve(flist)
        self._fetch_page(made)
        self._show_logs(made)
        self._cancel(made)
        self._balance()

    @property
    def _consumer(self) -> NodeClient:
        return self._grid.consumer.client

    def _found_grid(self) -> None:
        with self._report.step(
            "grid", f"Found a grid of {len(self._grid.nodes)} witnesses"
        ) as told:
            command = [sys.executable, "-m", "p2pgrid", "--data", str(self._grid.consumer.data)]
            command += ["grid", "create", "demo", "--json", "--out", str(self._grid.genesis)]
            for node in self._grid.nodes:
                command += ["--witness", node.node_id]
            command += ["--balance", f"{self._grid.consumer.node_id}={_CONSUMER_TFT}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise GridError(done.stderr.strip() or "grid create failed")
            self._grid.write_settings()
            told["text"] = f"the consumer's account holds {_CONSUMER_TFT} TFT, nobody else any"

    def _start(self) -> None:
        title = f"Start {len(self._grid.nodes)} nodes and a light peer"
        with self._report.step("start", title) as told:
            self._grid.start()
            told["nodes"] = {member.name: member.node_id for member in self._grid.members}
            why = self._grid.nodes[0].client.get("/status")["containers"]
            if why != "offered":
                raise GridError(f"this machine cannot run containers: {why}")

    def _announce(self) -> None:
        with self._report.step("announce", "Nodes find each other and announce") as told:
            for number, node in enumerate(self._grid.nodes, 1):
                farm = node.client.post(
                    "/farms", {"name": f"Farm {number}", "price_percent": 100, "members": []}
                )
                self._accounts[f"farm-{number}"] = farm["payout"]
                self._accounts[node.name] = node.node_id
            self._accounts["consumer"] = self._grid.consumer.node_id
            for member in self._grid.members:
                self._wait_for_view(member)
            seen = self._consumer.get("/nodes", sort="id")["nodes"]
            told["nodes"] = [
                {"node": one["node"], "farm": one["farm_name"], "free": one["free"]} for one in seen
            ]
            told["text"] = "\n".join(
                f"{one['farm_name']}: node {one['node'][:8]} has "
                f"{one['free']['millicores'] / 1000:g} cores, "
                f"{format_bytes(one['free']['memory_bytes'])} memory, "
                f"{format_bytes(one['free']['ssd_bytes'] or one['free']['hdd_bytes'])} disk"
                for one in seen
            )
            self._before = self._balances(self._grid.nodes[0].client)

    def _wait_for_view(self, member: Member) -> None:
        """Wait until this peer sees every node with its farm and its free capacity."""
        wanted = {node.node_id for node in self._grid.nodes}

        def sees_all() -> bool:
            try:
                found = member.client.get("/nodes", status="up", feature="container")["nodes"]
            except Unreachable:  # it has no peer yet
                return False
            return wanted == {one["node"] for one in found if one["is_confirmed"]}

        wait_until(
            f"{member.name} sees {len(wanted)} nodes", sees_all, seconds_max=DEMO_GOSSIP_SECONDS_MAX
        )

    def _publish(self) -> str:
        with self._report.step("publish", "Turn an image into an flist, publish it") as told:
            source = absolute_source(self._image) if self._image else self._build_image()
            made = _result(
                self._grid.nodes[0].client.stream(
                    "/flists", {"source": source, "name": _IMAGE_NAME, "description": "demo"}
                )
            )
            ports = made["ports"]
            self._port = ports[0] if ports else _DEFAULT_PORT
            told.update(made)
            told["text"] = (
                f"{made['name'][:8]}/{_IMAGE_NAME} from {source.partition(':')[0]}: "
                f"{made['entries']} entries, "
                f"{format_bytes(made['content_bytes'])} in {made['chunks']} chunks, "
                f"flist {made['flist'][:8]}"
            )
            reference = f"{self._grid.nodes[0].node_id}/{_IMAGE_NAME}"
            wait_until(
                "the consumer knows the name",
                partial(self._knows_name, reference),
                seconds_max=DEMO_GOSSIP_SECONDS_MAX,
            )
            return reference

    def _knows_name(self, reference: str) -> bool:
        try:
            return any(one["name"] == reference for one in self._consumer.get("/flists"))
        except Unreachable:
            return False

    def _build_image(self) -> str:
        if not _RECIPE.exists():
            raise BadInput(
                "the default image is built by a recipe of the source tree; "
                "run scripts/demo there, or give --image docker://…"
            )
        layout = self._place / "image"
        done = subprocess.run(
            [sys.executable, str(_RECIPE), str(layout)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise GridError(f"images/demo/build failed: {done.stderr.strip()[-400:]}")
        return f"oci:{layout}"

    def _reserve(self, flist: str) -> dict[str, Any]:
        with self._report.step("reserve", "Reserve a container on another farm, pay it") as told:
            made: dict[str, Any] = _result(
                self._consumer.stream(
                    "/reservations",
                    {
                        "document": {
                            "duration": "1h",
                            "container": [
                                {
                                    "name": "web",
                                    "image": flist,
                                    "cores": 0.2,
                                    "memory": "128M",
                                    "disk": "64M",
                                    "ports": [self._port],
                                }
                            ],
                        },
                        "except_farms": ["Farm 1"],
                    },
                )
            )
            told.update(made)
            told["text"] = (
                f"{format_tft(made['deposit'])} TFT in escrow; runs on node {made['node'][:8]}, "
                f"which fetched the chunks from its peers\naddress {made['addresses'][0]}"
            )
            return made

    def _fetch_page(self, made: dict[str, Any]) -> None:
        with self._report.step("page", "Fetch its web page over its own IPv6 address") as told:
            status, page = get_page(made["addresses"][0], self._port)
            told.update(status=status, page=page)
            told["text"] = page.strip()

    def _show_logs(self, made: dict[str, Any]) -> None:
        with self._report.step("logs", "Read its log") as told:
            path = f"/reservations/{made['reservation']}/logs"
            text = self._consumer.read(path, offset=0)[0].decode(errors="replace")
            told["log"] = text
            told["text"] = "\n".join(text.splitlines()[-3:])

    def _cancel(self, made: dict[str, Any]) -> None:
        with self._report.step("cancel", "Cancel: settle pro rata, refund the rest") as told:
            done = self._consumer.post(f"/reservations/{made['reservation']}/cancel")
            told.update(paid=done["paid"], refunded=done["refunded"])
            told["text"] = (
                f"{format_tft(done['paid'])} TFT to the farm, "
                f"{format_tft(done['refunded'])} TFT back"
            )
            if done["paid"] + done["refunded"] != made["deposit"]:
                raise GridError("paid and refunded do not add up to the deposit")

    def _balance(self) -> None:
        with self._report.step("balance", "Balances add up on every node") as told:
            for node in self._grid.nodes:
                wait_until(
                    f"{node.name} has the whole ledger",
                    partial(self._is_settled, node.client),
                    seconds_max=DEMO_GOSSIP_SECONDS_MAX,
                )
                self._after = self._balances(node.client)
                total = sum(self._after.values()) + self._burnt
                if total != _CONSUMER_TFT * TFT:
                    raise GridError(
                        f"{node.name} counts {format_tft(total)} TFT, not {_CONSUMER_TFT}"
                    )
            told["text"] = (
                "\n".join(
                    f"{name:9} {format_tft(self._before[name]):>15} → "
                    f"{format_tft(self._after[name]):>15} TFT"
                    for name in sorted(self._after)
                )
                + f"\nburnt as fees {format_tft(self._burnt)} TFT"
            )

    def _is_settled(self, client: NodeClient) -> bool:
        status = client.get("/ledger")
        self._burnt = status["burnt"]
        return bool(status["in_escrow"] == 0 and status["operations"] >= _OPERATIONS)

    def _balances(self, client: NodeClient) -> dict[str, int]:
        """What every account holds, as one node sees it."""
        return {
            name: client.get(f"/accounts/{account}")["balance"]
            for name, account in self._accounts.items()
        }

    def stay_up(self) -> None:
        """Wait for Ctrl-C, telling how to go on by hand."""
        consumer, node = self._grid.consumer, self._grid.nodes[0]
        self._report.say(
            "\nThe grid stays up until Ctrl-C. Go on by hand in another shell:\n"
            f"  export PATH={Path(sys.executable).parent}:$PATH P2PGRID_DATA={consumer.data}\n"
            "  p2pgrid nodes list\n"
            f"  p2pgrid run {node.node_id[:8]}/{_IMAGE_NAME} --cores 0.1 --memory 128M\n"
            "  p2pgrid wallet history\n"
            f"As a farmer: p2pgrid --data {node.data} reservations list --hosted\n"
            f"A killed node starts again by: p2pgrid --data {node.data} node run\n"
            f"Control sockets: {self._grid.directory}/*/control.sock"
        )
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()

    def tear_down(self) -> None:
        """End what still runs, then every process."""
        if not self._grid.consumer.is_running:
            self._grid.stop()
            return
        with self._report.step("teardown", "Tear everything down"):
            try:
                for one in self._consumer.get("/reservations"):
                    if one["phase"] not in {"ended", "failed", "expired"}:
                        self._consumer.post(f"/reservations/{one['reservation']}/cancel")
            except GridError as error:
                self._report.warn(f"could not cancel everything: {error}")
            self._grid.stop()

    def finish(self) -> None:
        """Say that all went well; it did not if anything was left behind."""
        if left := traces_of(self._grid):
            raise GridError(f"left behind: {', '.join(sorted(left))}")
        if self._report.as_json:
            balances = {
                name: {
                    "account": self._accounts[name],
                    "before": self._before[name],
                    "after": self._after[name],
                }
                for name in self._after
            }
            seconds = self._report.seconds
            print_json({"ok": True, "seconds": seconds, "balances": balances, "burnt": self._burnt})
        else:
            self._report.done("all of it; nothing was left behind")


def _result(messages: Iterator[dict[str, Any]]) -> Any:
    for message in messages:
        if "result" in message:
            return message["result"]
    raise Unreachable("the node ended before it answered; see its log")


@contextmanager
def _workplace(keep: Path | None) -> Iterator[Path]:
    """A directory for the grid: temporary, or the one to keep, which must be new."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="p2pgrid-") as temporary:
            yield Path(temporary)
        return
    if keep.exists() and any(keep.iterdir()):
        raise BadInput(f"{keep} is not empty; give --keep a new directory, or remove it")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.resolve()


@contextmanager
def _failure_told(*, as_json: bool) -> Iterator[None]:
    """The last object for programs, also when it went wrong."""
    try:
        yield
    except GridError as error:
        if as_json:
            print_json({"ok": False, "error": type(error).__name__, "message": str(error)})
        raise


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM ends the block like Ctrl-C; Ctrl-C while waiting is a normal end."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    previous: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        raise click.Abort from None
    finally:
        signal.signal(signal.SIGTERM, previous)
