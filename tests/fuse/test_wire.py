"""The bytes that the kernel takes are those of its header file."""

import os
import stat
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import Unsupported
from p2pgrid.fuse.wire import (
    Attributes,
    InitFlag,
    Opcode,
    answer,
    attributes_answer,
    directory_entry,
    entry,
    failure,
    init_answer,
    interrupted_in,
    is_answered,
    name_in,
    read_request,
    span_in,
    statfs_answer,
)

FILE = Attributes(node=7, mode=stat.S_IFREG | 0o640, size=1025, uid=1, gid=2, mtime=3)
EVERY_FLAG = 2**32 - 1


def init(major: int = 7, minor: int = 45, flags: int = EVERY_FLAG) -> bytes:
    return struct.pack("=IIII", major, minor, 131_072, flags) + bytes(48)


def test_answers_have_the_sizes_of_the_header_file() -> None:
    assert len(entry(FILE, 1)) == len(entry(None, 1)) == 128
    assert len(attributes_answer(FILE, 1)) == 104
    assert len(statfs_answer(files=1, content_bytes=5, block_bytes=4096, name_bytes_max=255)) == 80
    assert len(init_answer(init(), read_bytes_max=2**20, page_bytes=4096)) == 64
    assert b"".join(answer(5, b"ab", b"c")) == struct.pack("=IiQ", 19, 0, 5) + b"abc"
    assert b"".join(failure(5, 2)) == struct.pack("=IiQ", 16, -2, 5)


def test_only_what_both_can_is_agreed_on() -> None:
    said = init_answer(init(minor=99), read_bytes_max=2**20, page_bytes=4096)
    major, minor, readahead, flags = struct.unpack_from("=IIII", said)
    assert (major, minor, readahead) == (7, 45, 2**20)
    assert flags == sum(InitFlag)
    (pages,) = struct.unpack_from("=H", said, 28)
    assert pages == 256

    least = InitFlag.NO_OPEN_SUPPORT | InitFlag.NO_OPENDIR_SUPPORT
    said = init_answer(init(minor=31, flags=least | 1 << 31), read_bytes_max=4096, page_bytes=4096)
    assert struct.unpack_from("=II", said, 4)[0] == 31
    assert struct.unpack_from("=I", said, 12) == (least,)


@pytest.mark.parametrize("body", [init(minor=30), init(major=6), init(flags=InitFlag.ASYNC_READ)])
def test_a_kernel_that_is_too_old_is_told_apart(body: bytes) -> None:
    with pytest.raises(Unsupported, match="Linux 5"):
        init_answer(body, read_bytes_max=4096, page_bytes=4096)


@given(st.binary(min_size=1, max_size=255), st.booleans())
def test_rows_of_a_directory_are_aligned_and_hold_their_name(name: bytes, is_plus: bool) -> None:
    row = directory_entry(name, FILE, 9, 60 if is_plus else None)
    assert len(row) % 8 == 0
    start = 128 if is_plus else 0
    node, offset, length, kind = struct.unpack_from("=QQII", row, start)
    assert (node, offset, kind) == (7, 9, stat.S_IFREG >> 12)
    assert row[start + 24 :][:length] == name
    if is_plus:
        told = struct.unpack_from("=Q", row)[0]
        assert told == (0 if name in (b".", b"..") else 7)


def test_questions_are_read() -> None:
    body = struct.pack("=QQIIQII", 0, 77, 4096, 0, 0, 0, 0)
    header = struct.pack("=IIQQIIIHH", 40 + len(body), Opcode.READ, 3, 7, 0, 0, os.getpid(), 0, 0)
    asked = read_request(header + body)
    assert (asked.opcode, asked.unique, asked.node) == (Opcode.READ, 3, 7)
    assert span_in(asked.body) == (77, 4096)
    assert name_in(b"a name\0") == b"a name"
    assert interrupted_in(struct.pack("=Q", 2**63)) == 2**63
    assert [one for one in Opcode if not is_answered(one)] == [
        Opcode.FORGET, Opcode.INTERRUPT, Opcode.BATCH_FORGET
    ]  # fmt: skip
