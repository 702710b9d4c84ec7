"""Calls programs of the machine: runc, nft, mkfs. They end when we do."""

import os
import subprocess
from collections.abc import Mapping

from p2pgrid.errors import CannotRun
from p2pgrid.limits import workload as limits

_DETAIL_CHARACTERS_MAX = 400
# A tool that outlived a killed node program would go on building what the next one is removing.
# `preexec_fn` may deadlock where there are threads; so the tool is started through setpriv, and
# by a thread that waits for it, since the signal follows the death of the thread. The shell looks
# whether we were killed before the signal was arranged.
_ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
_IF_WE_LIVE = ("sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"')

PATHS: Mapping[str, str] = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
"""The whole environment of a tool: /usr/sbin is not on everybody's PATH."""


def run_tool(
    *command: str,
    stdin: bytes = b"",
    output: int | None = None,
) -> bytes:
    """Run a program to its end, within TOOL_SECONDS_MAX.

    Args:
        command: the program and its arguments.
        stdin: what it reads.
        output: the descriptor that gets its output and errors; None to return the output.

    Raises:
        CannotRun: it is missing, failed, or took too long; with what it said.
    """
    try:
        finished = subprocess.run(
            [*_ENDS_WITH_US, *_IF_WE_LIVE, str(os.getpid()), *command],
            input=stdin,
            stdout=subprocess.PIPE if output is None else output,
            stderr=subprocess.PIPE if output is None else output,
            env=PATHS,
            timeout=limits.TOOL_SECONDS_MAX,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"").decode(errors="replace").strip()[-_DETAIL_CHARACTERS_MAX:]
        raise CannotRun(f"{' '.join(command[:4])} failed: {said or error.returncode}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotRun(f"{command[0]} did not run: {error}") from error
    return finished.stdout or b""
