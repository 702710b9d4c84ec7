"""Which user a container runs as, by the image's own `/etc/passwd` and `/etc/group`.

The files come from the image: they are data, read line by line, and lines that make no sense
are passed over, as the C library does.
"""

from dataclasses import dataclass

from p2pgrid.errors import BadImage

ID_MAX = 65535
"""The highest user or group that a container's user namespace has."""

_GROUPS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a process is, inside its container."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    """Supplementary."""
    home: str = "/"


def identify(user: str, *, passwd: str, group: str) -> Identity:
    """Look up `user[:group]`, each a name or a number; empty means root.

    Raises:
        BadImage: a name that the image does not know, or a number above 65535.

    >>> identify("7:8", passwd="", group="")
    Identity(uid=7, gid=8, groups=(), home='/')
    """
    name, _, group_name = (user or "0").partition(":")
    entry = _find(passwd, name, fields=7)
    if entry is not None:
        found_name, uid, gid, home = entry[0], _id(entry[2]), _id(entry[3]), entry[5]
    elif name.isdecimal():
        found_name, uid, gid, home = "", _id(name), 0, "/"
    else:
        raise BadImage(f"the image has no user {name!r}; give a number, as in 1000:1000")
    if group_name:
        return Identity(uid=uid, gid=_group_id(group_name, group), home=home or "/")
    return Identity(uid=uid, gid=gid, groups=_member_of(found_name, group, gid), home=home or "/")


def _find(table: str, name: str, *, fields: int) -> list[str] | None:
    """The line whose name or number is `name`."""
    for line in table.splitlines():
        entry = line.split(":")
        if len(entry) >= fields and name in {entry[0], entry[2]}:
            return entry
    return None


def _group_id(name: str, table: str) -> int:
    entry = _find(table, name, fields=4)
    if entry is not None:
        return _id(entry[2])
    if name.isdecimal():
        return _id(name)
    raise BadImage(f"the image has no group {name!r}; give a number, as in 1000:1000")


def _member_of(name: str, table: str, primary: int) -> tuple[int, ...]:
    found: list[int] = []
    for line in table.splitlines():
        entry = line.split(":")
        if name and len(entry) >= 4 and name in entry[3].split(",") and entry[2].isdecimal():
            found.append(_id(entry[2]))
    return tuple(gid for gid in found[:_GROUPS_MAX] if gid != primary)


def _id(text: str) -> int:
    if not text.isdecimal() or len(text) > 10 or int(text) > ID_MAX:
        raise BadImage(f"user or group {text[:20]!r} is not a number up to {ID_MAX}")
    return int(text)
