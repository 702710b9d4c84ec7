"""Runs one attack on one victim, each in its own process, and reports how the victim fared.

Started once as a program: libp2p takes seconds to import, so the processes of
every experiment are forked from here. Takes arguments `<attack>:<stock|ours>`,
writes one JSON line `[argument, result]` for each.
"""

import json
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import trio

from tests.net.attack_victims import our_probe, our_victim, stock_probe, stock_victim
from tests.net.attacks import ATTACKS

_EXPERIMENT_SECONDS_MAX = 40
_START_SECONDS_MAX = 10
_EXPERIMENTS_AT_ONCE = 2


def fork(function: Callable[[], object]) -> int:
    """Run `function` in a child; it never returns there."""
    pid = os.fork()
    if not pid:
        try:
            function()
        finally:
            os._exit(0)  # whatever became of it: the parent looks at what it left
    return pid


def experiment(attack: str, kind: str) -> dict[str, Any]:
    """Attack a fresh victim of a kind; what became of it."""
    report, reporting = os.pipe()
    run = stock_victim if kind == "stock" else our_victim
    victim = fork(lambda: trio.run(run, reporting))
    os.close(reporting)
    before = _latest(report)
    address = before["address"]
    probe = _Probe(address) if kind == "ours" else None
    before = _latest(report)
    attacking, told = os.pipe()
    attacker = fork(lambda: _attack(attack, address, told))
    os.close(told)
    said = os.read(attacking, 1000).decode()  # once the attack is under way or over
    is_answered = probe.ask() if probe else trio.run(stock_probe, address)
    result = {
        "is_alive": os.waitpid(victim, os.WNOHANG) == (0, 0),
        "is_answered": is_answered,
        "said": said,
        "before": before,
        "after": _latest(report),
    }
    for pid in (attacker, probe.pid if probe else 0, victim if result["is_alive"] else 0):
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return result


def _attack(name: str, address: str, told: int) -> None:
    """Attack; then stay, with whatever is left open, until we are killed."""
    said = trio.run(ATTACKS[name], address)
    os.write(told, str(said).encode())
    time.sleep(_EXPERIMENT_SECONDS_MAX)


class _Probe:
    """A well-behaved node that was connected before the attack."""

    def __init__(self, address: str) -> None:
        asked, self._ask = os.pipe()
        self._answers, answering = os.pipe()
        self.pid = fork(lambda: trio.run(our_probe, asked, answering, address))
        os.close(answering)
        assert os.read(self._answers, 1) == b"+", "the probe could not connect at all"

    def ask(self) -> bool:
        os.write(self._ask, b"?")
        return os.read(self._answers, 1) == b"1"


def _latest(report: int) -> dict[str, Any]:
    """The last whole line that a victim wrote; waits for one."""
    text = b""
    deadline = time.monotonic() + _START_SECONDS_MAX
    while time.monotonic() < deadline:
        ready, _, _ = select.select([report], [], [], 0.2)
        if not ready and b"\n" in text:
            break
        if ready:
            data = os.read(report, 65536)
            if not data:
                break
            text += data
            if len(data) < 65536 and b"\n" in text:
                break
    lines = [line for line in text.split(b"\n") if line.endswith(b"}")]
    return dict(json.loads(lines[-1])) if lines else {}


def main(experiments: list[str]) -> None:
    """Run all, a few at a time."""
    logging.disable(logging.CRITICAL)
    running: set[int] = set()
    for one in experiments:
        if len(running) == _EXPERIMENTS_AT_ONCE:
            running.discard(os.wait()[0])
        running.add(fork(lambda one=one: _print_result(one)))  # type: ignore[misc]
    for pid in running:
        os.waitpid(pid, 0)


def _print_result(one: str) -> None:
    signal.alarm(_EXPERIMENT_SECONDS_MAX)
    attack, _, kind = one.partition(":")
    line = json.dumps([one, experiment(attack, kind)]) + "\n"
    os.write(sys.stdout.fileno(), line.encode())  # at once, so that lines do not mix


if __name__ == "__main__":
    main(sys.argv[1:])
