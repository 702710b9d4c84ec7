"""What a node says of its ledger is shown whole; what is wrong cannot be overlooked."""

import json
from typing import Any

import pytest

from p2pgrid.cli.ledger import ledger
from tests.cli.node import FakeClient, run

STATUS: dict[str, Any] = {
    "grid": "mine", "network": "ab" * 16, "operations": 3, "batches": 2, "waiting": 0,
    "supply": 10**7, "in_accounts": 10**7, "in_escrow": 0, "burnt": 0, "quorum": 3, "weight": 4,
    "witnesses": ["cd" * 32], "is_caught_up": True, "alarms": [],
}  # fmt: skip
ALARM = {"slot": "11" * 32, "operations": ["22" * 32, "33" * 32]}
PROOF = {
    "culprit": "44" * 32, "role": "witness", "first": "55" * 40, "second": "66" * 40,
    "evidence": "77" * 32,
}  # fmt: skip
SOUND = {"rule": "sums add up", "count": 1, "wrong": 0, "findings": []}
BROKEN = {"rule": "slots are used once", "count": 9, "wrong": 1, "findings": ["slot 1111: two"]}


def client(alarms: list[Any], *checks: Any) -> FakeClient:
    found = {"checks": checks, "supply": 5, "is_sound": not any(one["wrong"] for one in checks)}
    return FakeClient(
        {
            "/ledger": {**STATUS, "alarms": alarms},
            "/ledger/evidence": [PROOF],
            "/ledger/verify": found,
        }
    )


@pytest.mark.parametrize("alarms", [[], [ALARM]])
def test_an_alarm_shows_in_status_and_evidence(alarms: list[Any]) -> None:
    shown = [run(ledger, what, client=client(alarms)).stdout for what in ("status", "evidence")]

    assert [("ALARM" in one) for one in shown] == [bool(alarms)] * 2
    assert (ALARM["operations"][0] in shown[1]) == bool(alarms)
    assert PROOF["culprit"][:16] in shown[1]


def test_evidence_for_programs_is_one_object_a_line() -> None:
    lines = run(ledger, "evidence", "--json", client=client([ALARM])).stdout.splitlines()

    assert [json.loads(line) for line in lines] == [PROOF]


def test_verify_says_what_it_checked() -> None:
    done = run(ledger, "verify", client=client([], SOUND))

    assert done.exit_code == 0
    assert "sums add up" in done.stdout
    assert "everything holds" in done.stdout


def test_what_does_not_hold_is_told_and_ends_with_status_1() -> None:
    done = run(ledger, "verify", client=client([], SOUND, BROKEN))
    told = run(ledger, "verify", "--json", client=client([], SOUND, BROKEN))

    assert (done.exit_code, told.exit_code) == (1, 1)
    assert "WRONG 1" in done.stdout
    assert "slot 1111: two" in done.stdout
    assert json.loads(told.stdout)["is_sound"] is False
