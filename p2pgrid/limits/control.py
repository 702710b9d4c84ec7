"""Limits of the command line and the control API."""

from p2pgrid.units import KIB, MIB

CONTROL_ANSWER_SECONDS_MAX = 600.0
"""What a command waits for its node: converting a large image says nothing for minutes."""

SOCKET_PATH_BYTES_MAX = 107
"""What Linux takes for the path of a Unix socket."""

CONTROL_BODY_BYTES_MAX = 1 * MIB
"""A request to the control socket: reservation documents are far smaller."""

CONTROL_BACKLOG = 100
"""Commands that wait to be heard at once: a script may start dozens."""

HOLDER_QUESTIONS_AT_ONCE = 8
"""Flists of one list whose holders a light peer asks for at once; each question goes to 3 peers."""

FLISTS_LISTED = 100
"""Names of flists in one answer unless more are asked for."""

HISTORY_LISTED = 50
"""Entries of an account's history in one answer unless more are asked for."""

LISTED_MAX = 10_000
"""Rows in one answer of the control API: far more than anybody reads."""

LOG_POLL_SECONDS = 0.5
"""How often `logs -f` asks; a person reads no faster."""

LOG_ANSWER_BYTES_MAX = 256 * KIB
"""One piece of a log; more is asked for by offset."""

LOG_FILE_BYTES_MAX = 10 * MIB
"""One log file of the node program; weeks at the usual level."""

LOG_FILES_KEPT = 5
"""Rotated log files kept besides the current one."""

WATCH_SECONDS = 2.0
"""How often `nodes list --watch` asks; free capacity changes once a minute at most."""
