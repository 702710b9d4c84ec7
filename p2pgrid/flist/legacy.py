"""Reads flists of before `.fl`: what a tar file says in SQLite and Cap'n Proto. To look at only.

    flistdb.sqlite3     entries(key, value)    metadata(key, value)
    blake2b-128 of a directory's path, in hex  ->  Dir: its inodes
    a key that inodes name                     ->  ACI: owner and mode

Their chunks lie in databases of their time, encrypted by XXTEA, so there is nothing to extract.
The tree keeps the rules of others, but that it may hold any device: do not unpack it.
"""

import io
import sqlite3
import stat
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b

from p2pgrid.errors import BadImage
from p2pgrid.flist.blocks import Block
from p2pgrid.flist.capnp import Message, Struct
from p2pgrid.flist.database import Expected, binary, open_database, rows, table_names
from p2pgrid.flist.fl_reader import Flist
from p2pgrid.flist.layers import decompress
from p2pgrid.flist.tar import MemberKind, TarReader
from p2pgrid.flist.tree import Entry, check_entry, check_name, device_number, show
from p2pgrid.limits.chunks import FLIST_BYTES_MAX, IMAGE_BYTES_MAX, IMAGE_ENTRIES_MAX
from p2pgrid.limits.flist import FLIST_TAGS_MAX, IMAGE_DEPTH_MAX, LEGACY_VALUE_BYTES_MAX
from p2pgrid.model.ids import ChunkId

_GZIP, _USTAR, _USTAR_AT = b"\x1f\x8b", b"ustar", 257
_DATABASE = b"flistdb.sqlite3"
_STATEMENTS = """
CREATE TABLE IF NOT EXISTS entries (key VARCHAR(64) PRIMARY KEY, value BLOB);
CREATE TABLE IF NOT EXISTS metadata (key VARCHAR(64) PRIMARY KEY, value TEXT);
CREATE UNIQUE INDEX entries_index ON entries (key);
CREATE UNIQUE INDEX metadata_index ON metadata (key);
"""
_EXPECTED = Expected(
    _STATEMENTS,
    tables=frozenset({"entries", "metadata"}),
    required=frozenset({"entries"}),
    value_bytes_max=LEGACY_VALUE_BYTES_MAX,
)
_HASH_BYTES = 16
_ROOT = blake2b(b"", digest_size=_HASH_BYTES).hexdigest().encode()
_PAGE_BYTES = 4096  # block sizes are counted in these
_MINUS_ONE = 2**64 - 1
_SOMEBODY = 1000  # owner of what belongs to a name that is not root
_DIR, _FILE, _LINK, _SPECIAL = range(4)
_DEVICES = (stat.S_IFBLK, stat.S_IFCHR)
_SPECIALS = {0: stat.S_IFSOCK, 1: stat.S_IFBLK, 2: stat.S_IFCHR, 3: stat.S_IFIFO}


def is_legacy(data: bytes) -> bool:
    """Whether it looks like one: a tar file, compressed or not."""
    return data.startswith(_GZIP) or data[_USTAR_AT:].startswith(_USTAR)


def decode_legacy(data: bytes) -> Flist:
    """Read an old flist from outside.

    Raises:
        BadImage: not one, damaged, or hostile; the message says what is wrong.
    """
    with open_database(_database_in(data), _EXPECTED) as database:
        found = rows(database, "SELECT key, value FROM entries", IMAGE_ENTRIES_MAX)
        entries = {binary(key): binary(value) for key, value in found}
        return _Tree(entries).read(_metadata(database))


def _database_in(data: bytes) -> bytes:
    """The database in the archive; no more of it is held than it may have."""
    reader = TarReader(decompress(io.BytesIO(data)))
    for member in reader:
        if member.kind is MemberKind.FILE and member.path.removeprefix(b"./") == _DATABASE:
            if member.size > FLIST_BYTES_MAX:
                raise BadImage(f"flist of {member.size} bytes; {FLIST_BYTES_MAX} is the limit")
            return b"".join(reader.blocks())
    raise BadImage("not an flist: the archive holds no flistdb.sqlite3")


def _metadata(database: sqlite3.Connection) -> dict[str, str]:
    if b"metadata" not in table_names(database):
        return {}
    found = rows(database, "SELECT key, value FROM metadata", FLIST_TAGS_MAX)
    return {binary(key).decode(): binary(value).decode() for key, value in found}


class _Tree:
    """Makes a tree of messages by their keys."""

    def __init__(self, entries: Mapping[bytes, bytes]) -> None:
        self._entries = entries
        self._seen = {_ROOT}
        self._owners: dict[bytes, tuple[int, int, int]] = {}
        self._entry_count = 1
        self._content_bytes = 0

    def read(self, tags: dict[str, str]) -> Flist:
        root = Entry(mode=stat.S_IFDIR)
        level = [(root, _ROOT)]
        for _ in range(IMAGE_DEPTH_MAX + 1):
            level = [below for entry, key in level for below in self._fill(entry, key)]
        if level:
            raise BadImage(f"flist with directories nested deeper than {IMAGE_DEPTH_MAX}")
        return Flist(root, tags, self._entry_count, self._content_bytes)

    def _fill(self, entry: Entry, key: bytes) -> list[tuple[Entry, bytes]]:
        """Read a directory; gives the directories in it, each with its key."""
        found = self._message(key)
        entry.mtime = found.number(2, 4)
        self._own(entry, found.text(4), 0o755)
        _check(entry, found.text(1))
        below = []
        for inode in found.structs(2):
            name = check_name(inode.text(0))
            child, child_key = self._inode(inode, name)
            if name in entry.children:
                raise BadImage(f"flist has two entries {show(name)} in one directory")
            entry.children[name] = child
            self._count(child)
            if child_key:
                below.append((child, child_key))
        return below

    def _inode(self, inode: Struct, name: bytes) -> tuple[Entry, bytes]:
        """An entry, and the key of its directory where it is one."""
        attributes, kind = inode.struct(1), inode.number(4, 2)
        entry = Entry(mode=stat.S_IFREG, mtime=inode.number(3, 4))
        if kind == _DIR:
            entry.mode = stat.S_IFDIR
            return entry, self._directory_key(attributes.text(0), name)
        if kind == _LINK:
            entry.mode, entry.target = stat.S_IFLNK, attributes.text(0)
        elif kind == _SPECIAL:
            _become_special(entry, attributes, name)
        elif kind == _FILE:
            entry.size = inode.number(0, 8)
            entry.blocks = _blocks(attributes, entry.size, name)
        else:
            raise BadImage(f"{show(name)} is of an unknown kind")
        self._own(entry, inode.text(2), 0o644)
        _check(entry, name)
        return entry, b""

    def _directory_key(self, key: bytes, name: bytes) -> bytes:
        if key in self._seen or not key:
            raise BadImage(f"flist has {show(name)}, a directory that is another one as well")
        self._seen.add(key)
        return key

    def _own(self, entry: Entry, key: bytes, otherwise: int) -> None:
        """Give an entry the owner and mode that a key stands for."""
        if not key:
            mode, entry.uid, entry.gid = otherwise, _SOMEBODY, _SOMEBODY
        else:
            if key not in self._owners:
                self._owners[key] = _owners(self._message(key))
            mode, entry.uid, entry.gid = self._owners[key]
        entry.mode |= mode
        if stat.S_ISLNK(entry.mode):
            entry.mode |= 0o777

    def _message(self, key: bytes) -> Struct:
        if key not in self._entries:
            raise BadImage(f"flist names {show(key)}, which it does not hold")
        return Message(self._entries[key]).root()

    def _count(self, entry: Entry) -> None:
        self._entry_count += 1
        self._content_bytes += entry.size
        if self._entry_count > IMAGE_ENTRIES_MAX or self._content_bytes > IMAGE_BYTES_MAX:
            raise BadImage("flist of too many entries, or bytes of content")


def _check(entry: Entry, name: bytes) -> None:
    """As `check_entry`, but for which device it is."""
    if entry.kind in _DEVICES:
        entry = replace(entry, mode=stat.S_IFREG | stat.S_IMODE(entry.mode))
    check_entry(entry, name)


def _become_special(entry: Entry, special: Struct, name: bytes) -> None:
    """Make it a device, pipe or socket."""
    kind = _SPECIALS.get(special.number(0, 2))
    if kind is None:
        raise BadImage(f"{show(name)} is of an unknown kind")
    entry.mode = kind
    if kind in _DEVICES:
        numbers = special.binary(0).split(b",")
        if len(numbers) != 2 or not all(one.isdigit() and len(one) < 8 for one in numbers):
            raise BadImage(f"{show(name)} is a device without numbers")
        entry.rdev = device_number(int(numbers[0]), int(numbers[1]))


def _blocks(file: Struct, size: int, name: bytes) -> list[Block]:
    block_bytes = file.number(0, 2) * _PAGE_BYTES
    blocks = [Block(ChunkId(one.binary(0)), one.binary(1)) for one in file.structs(0)]
    if any(len(part) != _HASH_BYTES for block in blocks for part in block):
        raise BadImage(f"{show(name)} has a block whose id or key is not 16 bytes long")
    if len(blocks) != (-(-size // block_bytes) if block_bytes else 0):
        raise BadImage(f"{show(name)} has {size} bytes in {len(blocks)} blocks")
    return blocks


def _owners(aci: Struct) -> tuple[int, int, int]:
    """Mode, user and group."""
    user, group = _owner(aci.number(1, 8), aci.text(0)), _owner(aci.number(2, 8), aci.text(1))
    return aci.number(0, 2) & 0o7777, user, group


def _owner(stored: int, name: bytes) -> int:
    """A number; where none is known, by the name. -1 means that, and is stored as 0."""
    number = stored ^ _MINUS_ONE
    if number == _MINUS_ONE:
        return 0 if name == b"root" else _SOMEBODY
    return number
