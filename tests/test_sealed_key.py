"""A sealed key opens by its passphrase and by nothing else, and every change is noticed."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from p2pgrid.errors import BadInput, Unusable
from p2pgrid.sealed_key import Cost, read_sealed, seal

CHEAP = Cost(passes=1, memory_bytes=8192)
KEY = SigningKey(bytes(range(32)))


@given(st.text(min_size=1, max_size=40).filter(lambda one: one.isprintable()))
@settings(max_examples=20)
def test_the_passphrase_opens_it(passphrase: str) -> None:
    sealed = read_sealed(seal(KEY, passphrase, CHEAP).write())

    assert sealed.open(passphrase) == KEY
    assert sealed.account == bytes(KEY.verify_key)
    with pytest.raises(BadInput, match="wrong"):
        sealed.open(passphrase + " ")


def test_the_seed_is_nowhere_in_the_file() -> None:
    assert bytes(KEY).hex() not in seal(KEY, "x", CHEAP).write().decode()


def test_two_seals_of_one_key_are_not_alike() -> None:
    assert seal(KEY, "x", CHEAP).box != seal(KEY, "x", CHEAP).box


def test_another_account_beside_the_box_is_noticed() -> None:
    fields = json.loads(seal(KEY, "x", CHEAP).write())
    fields["account"] = bytes(SigningKey(bytes(32)).verify_key).hex()

    with pytest.raises(Unusable, match="another account"):
        read_sealed(json.dumps(fields).encode()).open("x")


@pytest.mark.parametrize("passphrase", ["", "x" * 1025, "\ud800"])
def test_what_is_no_passphrase(passphrase: str) -> None:
    with pytest.raises(BadInput):
        seal(KEY, passphrase, CHEAP)


@pytest.mark.parametrize(
    "change",
    [
        {"p2pgrid_wallet": 2}, {"account": "ff"}, {"account": "ZZ" * 32}, {"passes": 0},
        {"passes": 10**9}, {"memory_bytes": 1}, {"memory_bytes": 2**60}, {"passes": True},
        {"passes": 1.5}, {"salt": ""}, {"box": None}, {"more": 1},
    ],
)  # fmt: skip
def test_a_damaged_file_says_so(change: dict[str, object]) -> None:
    fields = {**json.loads(seal(KEY, "x", CHEAP).write()), **change}

    with pytest.raises(Unusable):
        read_sealed(json.dumps(fields).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"[" * 5000, b"\xff", b"{}"])
def test_what_is_no_sealed_key(data: bytes) -> None:
    with pytest.raises(Unusable):
        read_sealed(data)


def test_a_guess_costs_what_is_usual_today() -> None:
    """RFC 9106 recommends at least 64 MiB and 3 passes."""
    usual = Cost()

    assert usual.passes >= 3
    assert usual.memory_bytes >= 64 * 2**20
