"""User and network namespaces that live without a process, pinned to files."""

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from p2pgrid.errors import CannotRun
from p2pgrid.workload.mounts import bind
from p2pgrid.workload.names import HOST_IDS_PER_CONTAINER
from p2pgrid.workload.tool import PATHS

_T = TypeVar("_T")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def pin_namespaces(user: Path, network: Path, host_id_first: int) -> None:
    """Make a user namespace and a network namespace that belongs to it.

    Its root may open port 80 and read its own `/sys`, since the network is its own; on the
    machine it is user `host_id_first`, nobody.

    Raises:
        CannotRun: the kernel or its settings do not allow user namespaces.
        OSError: a mount failed.
    """
    # cat ends when its input does: also when we are killed here.
    with subprocess.Popen(
        ["unshare", "--user", "--net", "cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=PATHS,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            holder.stdin.write(b"\n")
            holder.stdin.flush()
            answered = holder.stdout.read(1) == b"\n"
        except BrokenPipeError:
            answered = False
        if not answered:
            raise CannotRun("user namespaces are not allowed here; see user.max_user_namespaces")
        for file in ("uid_map", "gid_map"):
            Path(f"/proc/{holder.pid}/{file}").write_text(
                f"0 {host_id_first} {HOST_IDS_PER_CONTAINER}\n"
            )
        for kind, path in (("user", user), ("net", network)):
            path.touch()
            bind(f"/proc/{holder.pid}/ns/{kind}", path)


def call_in_network(network: Path, function: Callable[[], _T]) -> _T:
    """Call a function whose thread is in another network namespace."""
    results: list[_T] = []
    errors: list[Exception] = []

    def enter_and_call() -> None:
        try:
            namespace = os.open(network, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(namespace, _CLONE_NEWNET) < 0:
                    number = ctypes.get_errno()
                    raise OSError(number, f"entering {network}: {os.strerror(number)}")
            finally:
                os.close(namespace)
            results.append(function())
        except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    # A thread of its own: it ends in the foreign network and is never used for anything else.
    thread = threading.Thread(target=enter_and_call, name=f"in {network.name}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
