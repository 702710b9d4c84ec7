"""A pull tells what came from whom; seeding can be stopped; failures are in the exit status."""

import json

import pytest

from p2pgrid.cli.flist import flist
from p2pgrid.errors import BadInput, GridError, NotFound, Unreachable
from p2pgrid.units import MIB
from tests.cli.node import FakeClient, run

MADE = {
    "flist": "5d" * 32,
    "content_bytes": 9 * MIB,
    "chunks": 40,
    "fetched_bytes": 6 * MIB,
    "given_bytes": {"aa" * 32: 4 * MIB, "bb" * 32: 2 * MIB},
    "is_seeded": False,
}
NAME = "3f9c/web:1"


def test_a_pull_says_what_came_from_how_many() -> None:
    client = FakeClient({"/flists/pull": MADE})
    told = run(flist, "pull", NAME, client=client)
    assert told.exit_code == 0
    assert told.stdout.splitlines() == [
        f"flist {'5d' * 32}",
        "9 MiB in 40 chunks; 6 MiB came from 2 peers",
    ]
    assert client.calls == [("/flists/pull", {"flist": NAME, "seed": False})]
    assert json.loads(run(flist, "pull", NAME, "--json", client=client).stdout) == MADE


def test_a_pull_of_what_is_here_says_so() -> None:
    made = {**MADE, "given_bytes": {}, "fetched_bytes": 0}
    told = run(flist, "pull", NAME, client=FakeClient({"/flists/pull": made}))
    assert told.stdout.endswith("9 MiB in 40 chunks; nothing had to be fetched\n")


def test_seeding_begins_and_stops() -> None:
    stopped = {"flist": "5d" * 32}
    client = FakeClient({"/flists/pull": MADE, "/flists/stop-seeding": stopped})
    told = run(flist, "seed", NAME, client=client)
    assert told.stdout.endswith("came from 2 peers; it is seeded from now on\n")
    assert run(flist, "seed", NAME, "--stop", client=client).stdout == (
        f"flist {'5d' * 32} is seeded no more\n"
    )
    as_json = run(flist, "seed", NAME, "--stop", "--json", client=client)
    assert json.loads(as_json.stdout) == stopped
    assert client.calls[:2] == [
        ("/flists/pull", {"flist": NAME, "seed": True}),
        ("/flists/stop-seeding", {"flist": NAME}),
    ]


@pytest.mark.parametrize(
    ("error", "status"),
    [(NotFound("nobody gives it"), 1), (BadInput("no name"), 2), (Unreachable("silent"), 3)],
)
def test_what_went_wrong_is_in_the_exit_status(error: GridError, status: int) -> None:
    client = FakeClient({"/flists/pull": error, "/flists/stop-seeding": error})
    for words in (["pull", NAME], ["seed", NAME], ["seed", NAME, "--stop"]):
        told = run(flist, *words, client=client)
        assert told.exit_code == status
        assert str(error) in told.stderr
