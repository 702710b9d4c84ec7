"""Limits of the stores."""

from p2pgrid.units import MIB

VALUE_BYTES_MAX = 16 * MIB
"""No value of ours comes near; a bug that writes larger ones is caught here."""

STORE_OPEN_FILES_MAX = 128
"""Table files that one LevelDB keeps open: four stores stay far below a process's usual 1024."""

COMMIT_BYTES_MAX = 4 * MIB
"""Waiting commits that share one sync write: more would only make the first ones wait longer."""
