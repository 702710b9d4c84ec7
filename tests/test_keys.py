"""A key is there as a whole, for its owner only, and is never written over."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from p2pgrid.errors import BadInput, Locked, NotFound, Unusable
from p2pgrid.keys import (
    account_of,
    change_passphrase,
    create_wallet,
    identity_path,
    is_sealed,
    open_identity,
    open_wallet,
    wallet_names,
    wallet_path,
)
from p2pgrid.sealed_key import Cost

CHEAP = Cost(passes=1, memory_bytes=8192)


def test_an_identity_is_made_once(tmp_path: Path) -> None:
    data = tmp_path / "not" / "there"
    first = open_identity(data)

    assert open_identity(data) == first
    assert open_wallet(data, "node") == first


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    open_identity(data)

    assert stat.S_IMODE(identity_path(data).stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert [path.name for path in data.iterdir()] == ["identity.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666, 0o601])
def test_wide_rights_are_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    open_identity(tmp_path)
    identity_path(tmp_path).chmod(mode)

    with pytest.raises(Unusable, match=r"chmod 600 .*identity\.key"):
        open_identity(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"00" * 31, b"00" * 33, b"zz" * 32, bytes(32), b"AB" * 32, b"00" * 32 + b"\n\n"],
)
def test_what_is_no_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = identity_path(tmp_path)
    path.touch(0o600)
    path.write_bytes(content)

    with pytest.raises(Unusable, match="64 hex digits"):
        open_identity(tmp_path)
    assert path.read_bytes() == content


def test_a_folder_in_the_place_of_a_key_is_refused(tmp_path: Path) -> None:
    identity_path(tmp_path).mkdir(0o700)
    with pytest.raises(Unusable, match="cannot read"):
        open_identity(tmp_path)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(Unusable, match="cannot write"):
        create_wallet(tmp_path / "data", "savings")


def test_many_at_once_get_one_identity(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(open_identity, [tmp_path] * 32))

    assert len({bytes(key) for key in keys}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["identity.key"]


def test_wallets_have_a_key_each(tmp_path: Path) -> None:
    savings, daily = create_wallet(tmp_path, "savings"), create_wallet(tmp_path, "daily")
    own = open_identity(tmp_path)

    assert len({bytes(key) for key in (savings, daily, own)}) == 3
    assert open_wallet(tmp_path, "savings") == savings
    assert wallet_names(tmp_path) == ("node", "daily", "savings")


@pytest.mark.parametrize("name", ["savings", "node"])
def test_a_key_is_never_written_over(tmp_path: Path, name: str) -> None:
    open_identity(tmp_path)
    create_wallet(tmp_path, "savings")
    before = wallet_path(tmp_path, name).read_bytes()

    with pytest.raises(BadInput, match="already"):
        create_wallet(tmp_path, name)
    assert wallet_path(tmp_path, name).read_bytes() == before


def test_an_unknown_wallet_names_the_known(tmp_path: Path) -> None:
    create_wallet(tmp_path, "savings")
    with pytest.raises(NotFound, match="there are: savings"):
        open_wallet(tmp_path, "saving")


@pytest.mark.parametrize("name", ["", "..", "../identity", "a/b", "-x", ".x", "A", "a" * 33, "a\n"])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="not a wallet name"):
        create_wallet(tmp_path, name)
    with pytest.raises(BadInput, match="not a wallet name"):
        open_wallet(tmp_path, name)


def test_a_sealed_wallet_is_listed_and_paid_without_its_passphrase(tmp_path: Path) -> None:
    key = create_wallet(tmp_path, "safe", passphrase="x", cost=CHEAP)

    assert account_of(tmp_path, "safe") == bytes(key.verify_key)
    assert is_sealed(tmp_path, "safe")
    assert wallet_names(tmp_path) == ("safe",)
    assert bytes(key).hex().encode() not in wallet_path(tmp_path, "safe").read_bytes()
    with pytest.raises(Locked):
        open_wallet(tmp_path, "safe")


def test_the_nodes_own_key_is_never_sealed(tmp_path: Path) -> None:
    key = open_identity(tmp_path / "other")
    with pytest.raises(BadInput, match="starts again by itself"):
        create_wallet(tmp_path, "node", key=key, passphrase="x", cost=CHEAP)
    open_identity(tmp_path)
    with pytest.raises(BadInput, match="starts again by itself"):
        change_passphrase(tmp_path, "node", None, "x", cost=CHEAP)


def test_a_damaged_sealed_file_names_itself(tmp_path: Path) -> None:
    create_wallet(tmp_path, "safe", passphrase="x", cost=CHEAP)
    path = wallet_path(tmp_path, "safe")
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(Unusable, match=r"safe\.key.*put it back from your copy"):
        open_wallet(tmp_path, "safe", "x")
