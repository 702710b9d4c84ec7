"""Runs one attack on one victim, each in its own process, and reports how the victim fared.

Started once as a program: libp2p takes seconds to import, so the processes of
every experiment are forked from here. Takes arguments `<attack>:<stock|ours|observed>`, of
which the last is a node of ours, attacked where observers connect, and `<habit>:habit`; writes
one JSON line `[argument, result]` for each.
"""

import ctypes
import json
import logging
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from tests.net.attack_victims import (
    REPORT_BYTES,
    our_victim,
    stock_victim,
)
from tests.net.attacks import MESHED, STRANGERS, meshed
from tests.net.libp2p_habits import HABITS
from tests.net.member_attacks import MEMBERS
from tests.net.probes import our_probe, stock_probe
from tests.net.spread_attacks import SPREADERS

ATTACKS = {**STRANGERS, **MESHED, **MEMBERS, **SPREADERS, "meshed": meshed}

_EXPERIMENT_SECONDS_MAX = 60
_STEP_SECONDS_MAX = 20
_EXPERIMENTS_AT_ONCE = 2
_PR_SET_PDEATHSIG = 1
_C_LIBRARY = ctypes.CDLL(None)


def fork(function: Callable[[], object]) -> int:
    """Run `function` in a child that dies with us; it never returns there."""
    pid = os.fork()
    if not pid:
        try:
            _C_LIBRARY.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            function()
        finally:
            if sys.exc_info()[1] is not None:
                traceback.print_exc()
            os._exit(0)  # the parent looks at what it left
    return pid


def experiment(attack: str, kind: str) -> dict[str, Any]:
    """Attack a fresh victim of a kind; what became of it."""
    report = os.memfd_create("report")
    run = stock_victim if kind == "stock" else our_victim
    victim = fork(lambda: trio.run(run, report))
    address = _latest(report)["address"]
    attacked = _latest(report)["observers_address"] if kind == "observed" else address
    probe = None if kind == "stock" else _Probe(address)
    before = _latest(report)
    attacking, told = os.pipe()
    attacker = fork(lambda: _attack(attack, attacked, told))
    said = _read(attacking, 1000).decode()  # once the attack is under way or over
    answers = probe.stop() if probe else {"newcomer": trio.run(stock_probe, address)}
    result = {
        "is_alive": os.waitpid(victim, os.WNOHANG) == (0, 0),
        "answers": answers,
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
    """A well-behaved node: connected before the attack, it asks all the time."""

    def __init__(self, address: str) -> None:
        self._stop_read, self._stop = os.pipe()
        self._answers, answering = os.pipe()
        self.pid = fork(lambda: trio.run(our_probe, self._stop_read, answering, address))
        assert _read(self._answers, 1) == b"+", "the probe could not connect at all"

    def stop(self) -> dict[str, Any]:
        """How it was answered."""
        os.write(self._stop, b"?")
        return dict(json.loads(_read(self._answers, REPORT_BYTES) or b"{}"))


def _latest(report: int) -> dict[str, Any]:
    """What a victim wrote last; waits for the first time."""
    deadline = time.monotonic() + _STEP_SECONDS_MAX
    while not (line := os.pread(report, REPORT_BYTES, 0).strip()):
        assert time.monotonic() < deadline, "the victim does not start"
        time.sleep(0.05)
    return dict(json.loads(line))


def _read(pipe: int, count: int) -> bytes:
    """What comes in time; nothing if nothing does."""
    ready, _, _ = select.select([pipe], [], [], _STEP_SECONDS_MAX)
    return os.read(pipe, count) if ready else b""


def main(experiments: list[str]) -> None:
    """Run all, a few at a time."""
    logging.disable(logging.CRITICAL)
    running: set[int] = set()
    for one in experiments:
        if len(running) == _EXPERIMENTS_AT_ONCE:
            running.discard(os.wait()[0])
        running.add(fork(partial(_print_result, one)))
    for pid in running:
        os.waitpid(pid, 0)


def _print_result(one: str) -> None:
    signal.alarm(_EXPERIMENT_SECONDS_MAX)
    attack, _, kind = one.partition(":")
    result = trio.run(HABITS[attack]) if kind == "habit" else experiment(attack, kind)
    line = json.dumps([one, result]) + "\n"
    os.write(sys.stdout.fileno(), line.encode())  # at once, so that lines do not mix


if __name__ == "__main__":
    main(sys.argv[1:])
