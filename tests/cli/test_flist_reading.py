"""A file is read here; every other name is the node's to know."""

from pathlib import Path
from typing import cast

import pytest

from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.flist_reading import open_flist, read_file, read_flist
from p2pgrid.errors import BadImage, BadInput, NotFound
from p2pgrid.flist.fl import encode_flist
from p2pgrid.limits.chunks import FLIST_BYTES_MAX
from tests.cli.node import FakeClient
from tests.flist.archives import apply, member, tar

DATA = encode_flist(apply(tar(member("a", b"1")))[0].root, {})


def client(answers: dict[str, object]) -> NodeClient:
    return cast(NodeClient, FakeClient(answers))


def test_a_file_needs_no_node(tmp_path: Path) -> None:
    (tmp_path / "web.fl").write_bytes(DATA)

    assert read_flist(client({}), str(tmp_path / "web.fl")) == DATA
    assert open_flist(client({}), str(tmp_path / "web.fl")).entry_count == 2


def test_everything_else_is_asked_of_the_node() -> None:
    assert read_flist(client({"/flist-files/web%3A1": DATA}), "web:1") == DATA
    with pytest.raises(NotFound):
        read_flist(client({}), "web:1")
    with pytest.raises(BadImage):
        open_flist(client({"/flist-files/web%3A1": b"x"}), "web:1")


def test_no_more_is_read_than_an_flist_may_have(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(FLIST_BYTES_MAX + 100)

    assert len(read_file(str(tmp_path / "large"))) == FLIST_BYTES_MAX + 1
    with pytest.raises(BadInput, match="cannot read"):
        read_file(str(tmp_path))
