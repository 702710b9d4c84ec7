"""Four holders on links of real rates: one is killed, one lies, one crawls; the pull ends well."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from p2pgrid.limits.net import BULK_DIAL_SECONDS_MAX
from tests.integration.chunk_swarm import BLOB_COUNT, PORT
from tests.integration.shaped_links import drop_packets_to_port, namespace, shaped_links

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(180)]

MEGABITS = {"good": 40, "dying": 40, "lying": 40, "slow": 1, "puller": 1000}
SLOWER_MAX = 1.3


def transfers(directory: Path, hosts: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What became of a pull from `good` alone, and of one from all."""
    places = [f"{name}={namespace(name)}={host}" for name, host in hosts.items()]
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.chunk_swarm", str(directory), *places],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return told["alone"], told["together"]


def test_bad_company_costs_a_third_of_the_time_at_most(tmp_path: Path) -> None:
    with shaped_links(MEGABITS) as hosts:
        alone, together = transfers(tmp_path, hosts)

    assert alone["is_whole"]
    assert together["is_whole"]
    assert set(alone["given_bytes"]) == {hosts["good"]}
    assert alone["seconds"] > BLOB_COUNT * 0.5 * 8 / MEGABITS["good"]  # the links are shaped
    assert {hosts["good"], hosts["dying"]} <= set(together["given_bytes"])
    assert together["seconds"] <= SLOWER_MAX * alone["seconds"], (alone, together)


def test_behind_a_firewall_chunks_come_over_libp2p(tmp_path: Path) -> None:
    """Packets to the bulk port are swallowed: that costs a moment, and nobody is given up on."""
    with shaped_links({"good": 1000, "puller": 1000}) as hosts:
        drop_packets_to_port("good", PORT + 1)
        alone, _ = transfers(tmp_path, hosts)

    assert alone["is_whole"]
    assert set(alone["given_bytes"]) == {hosts["good"]}
    assert alone["seconds"] > BULK_DIAL_SECONDS_MAX
