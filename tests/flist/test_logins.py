"""Logins are found for the registry they are for, and their passwords are never shown."""

import json
from base64 import b64encode
from pathlib import Path

import pytest

from p2pgrid.errors import BadInput
from p2pgrid.flist.logins import Login, Logins, parse_logins, read_logins


def auth(login: str) -> dict[str, str]:
    return {"auth": b64encode(login.encode()).decode()}


def parse(auths: object) -> Logins:
    return parse_logins(json.dumps({"auths": auths}).encode(), "config.json")


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("registry.example:5000", "registry.example:5000"),
        ("https://registry.example/v2/", "registry.example"),
        ("registry.example/v1", "registry.example"),
        ("https://index.docker.io/v1/", "registry-1.docker.io"),
        ("docker.io", "registry-1.docker.io"),
    ],
)
def test_a_login_is_found_by_its_registry(key: str, host: str) -> None:
    logins = parse({key: auth("me:a:b")})

    assert logins.find(host, "team/app") == Login("me", "a:b")
    assert logins.find("elsewhere.example", "team/app") is None
    assert logins.find(f"{host}.evil.example", "team/app") is None


def test_the_login_for_the_longest_part_of_the_name_wins() -> None:
    logins = parse({"h.x": auth("all:1"), "h.x/team": auth("team:2"), "h.x/team/app": auth("a:3")})

    found = [logins.find("h.x", name) for name in ("team/app", "team/apple", "other")]

    assert [one.user for one in found if one] == ["a", "team", "all"]


def test_a_name_and_a_password_may_stand_alone_and_helpers_are_left_out() -> None:
    logins = parse({"a.x": {"username": "u", "password": "p"}, "b.x": {}, "c.x": auth("only")})

    assert logins.by_place == {"a.x": Login("u", "p")}


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Logins({"h": Login("me", "secret")}))
    assert Login("Aladdin", "open sesame").header == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[]", b'{"auths": 1}', b'{"auths": {"h": 1}}', b'{"auths": {"h": {"auth": 1}}}'),
        *(b'{"auths": {"h": {"auth": "?"}}}', b'{"auths": {"h": {"auth": "/w=="}}}'),
        b'{"auths": {"h": {"auth": "YQBiOmM="}}}',
    ],
)
def test_what_is_no_such_file_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        parse_logins(data, "config.json")


def test_the_file_of_the_user_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    before = read_logins()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"h.x": auth("me:pass")}}))

    assert before == Logins()
    assert read_logins().find("h.x", "app") == Login("me", "pass")


def test_a_file_that_cannot_be_or_is_too_large_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="cannot read"):
        read_logins(tmp_path)
    monkeypatch.setattr("p2pgrid.flist.logins.LOGINS_BYTES_MAX", 10)
    (tmp_path / "config.json").write_text('{"auths": {}}')
    with pytest.raises(BadInput, match="over 10 bytes"):
        read_logins(tmp_path / "config.json")
