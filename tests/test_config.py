"""What an operator writes is taken as meant, or refused with what to write instead."""

from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.config import Config, read_config
from p2pgrid.errors import BadInput


def written(tmp_path: Path, text: str) -> Config:
    (tmp_path / "node.toml").write_text(text)
    return read_config(tmp_path)


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert read_config(tmp_path) == Config(data=tmp_path)


def test_every_setting_can_be_written(tmp_path: Path) -> None:
    config = written(
        tmp_path,
        f"""
        listen = ["/ip4/127.0.0.1/tcp/0"]
        peers = ["/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW"]
        farm = "{"3f" * 32}"
        share = 0.5
        light = false
        mdns = false
        observers = ["/ip4/127.0.0.1/tcp/4003"]
        log_level = "debug"
        place = "51.05, 3.72, Belgium, Ghent"
        """,
    )

    assert config == Config(
        data=tmp_path,
        listen=("/ip4/127.0.0.1/tcp/0",),
        peers=("/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW",),
        farm="3f" * 32,
        share=0.5,
        light=False,
        mdns=False,
        observers=("/ip4/127.0.0.1/tcp/4003",),
        log_level="debug",
        place="51.05, 3.72, Belgium, Ghent",
    )


def test_rest_listens_where_it_is_told(tmp_path: Path) -> None:
    assert written(tmp_path, "").explorer_http is None
    assert written(tmp_path, 'explorer_http = "[::]:8080"').explorer_http == "[::]:8080"


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", "example.org:80", ":", "127.0.0.1:65536", "127.0.0.1:-1", "::1:80", "[::1]",
     "[127.0.0.1]:80", "http://127.0.0.1:80", "127.0.0.1:８０", ""],
)  # fmt: skip
def test_rest_listens_nowhere_else(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match="is not HOST:PORT; write for example"):
        written(tmp_path, f'explorer_http = "{text}"')


def test_a_light_peer_has_nothing_to_answer_from(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a light peer knows too little"):
        written(tmp_path, 'explorer_http = "127.0.0.1:80"\nlight = true')
    with pytest.raises(BadInput, match="is not HOST:PORT"):
        written(tmp_path, "explorer_http = 80")


def test_another_file_can_be_named(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("light = true")
    (tmp_path / "node.toml").write_text("light = false")

    assert read_config(tmp_path, other).light


def test_there_are_ten_settings_at_most() -> None:
    assert len([field for field in fields(Config) if field.name != "data"]) <= 10


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("ligth = true", "did you mean light?"),
        ("log-level = 'info'", "did you mean log_level?"),
        ("data = '/srv'", "there are listen, peers, farm"),
        ("[node]\nlight = true", "there is no setting 'node'"),
        ("light = 1", "neither true nor false"),
        ("mdns = 'yes'", "neither true nor false"),
        ("observers = ['4003']", "is not an address"),
        ("light = true\nobservers = ['/ip4/0.0.0.0/tcp/4003']", "nothing to observe"),
        ("share = 0", "0.01 to 1"),
        ("share = 2", "0.01 to 1"),
        ("share = true", "0.01 to 1"),
        ("share = nan", "0.01 to 1"),
        ("farm = 'mine'", "64 hex digits"),
        ("farm = 5", "64 hex digits"),
        ("listen = '/ip4/0.0.0.0/tcp/1'", "is not a list"),
        ("listen = ['0.0.0.0:4001']", "write for example"),
        ("peers = [5]", "is not a list"),
        ("log_level = 'loud'", "none of debug, info"),
        ("light = ", "is not TOML"),
        ("light = true\nlight = false", "is not TOML"),
    ],
)
def test_mistakes_say_what_to_write(tmp_path: Path, text: str, hint: str) -> None:
    with pytest.raises(BadInput) as caught:
        written(tmp_path, text)

    assert hint in str(caught.value)
    assert "node.toml" in str(caught.value)


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_config(tmp_path, tmp_path / "missing.toml")


def test_options_of_the_command_line_are_checked_alike() -> None:
    with pytest.raises(BadInput, match="share"):
        replace(Config(data=Path()), share=7.0)


@given(st.binary(max_size=60))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("config") / "node.toml"
    path.write_bytes(data)
    with suppress(BadInput):
        assert read_config(path.parent).data == path.parent


@pytest.mark.parametrize(
    "text",
    [
        "Belgium",
        "51, 3",
        "51, , Belgium",
        "51, 3, ",
        "nan, 3, X",
        "1e1, 3, X",
        "51, 3, X, Y, Z",
        "5١, 3, X",
    ],
)
def test_what_is_no_place_is_refused_with_an_example(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match="for example 51"):
        written(tmp_path, f'place = "{text}"')


@pytest.mark.parametrize("text", ["90.1, 0, X", "0, -180.5, X"])
def test_a_place_is_on_the_earth(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match="is nowhere"):
        written(tmp_path, f'place = "{text}"')


def test_a_port_comes_with_its_host(tmp_path: Path) -> None:
    """Else one digit more or less would open the node to everybody."""
    with pytest.raises(BadInput, match="is not HOST:PORT"):
        written(tmp_path, 'explorer_http = "8080"')
