"""Four holders on links of real rates: one is killed, one lies, one crawls; the pull ends well."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.chunk_swarm import BLOB_COUNT
from tests.integration.shaped_links import namespace, shaped_links

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(180)]

MEGABITS = {"good": 40, "dying": 40, "lying": 40, "slow": 1, "puller": 1000}
SLOWER_MAX = 1.3


def test_bad_company_costs_a_third_of_the_time_at_most(tmp_path: Path) -> None:
    with shaped_links(MEGABITS) as hosts:
        places = [f"{name}={namespace(name)}={host}" for name, host in hosts.items()]
        done = subprocess.run(
            [sys.executable, "-m", "tests.integration.chunk_swarm", str(tmp_path), *places],
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )
    assert done.returncode == 0, done.stderr
    alone, together = (json.loads(done.stdout)[name] for name in ("alone", "together"))

    assert alone["is_whole"]
    assert together["is_whole"]
    assert set(alone["given_bytes"]) == {hosts["good"]}
    assert alone["seconds"] > BLOB_COUNT * 0.5 * 8 / MEGABITS["good"]  # the links are shaped
    assert {hosts["good"], hosts["dying"]} <= set(together["given_bytes"])
    assert together["seconds"] <= SLOWER_MAX * alone["seconds"], (alone, together)
