"""What an image says about how it is run survives every way it can come."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadImage
from p2pgrid.flist.image_config import (
    canonical_config,
    diff_ids,
    image_config,
    startup_pieces,
    startup_toml,
)
from p2pgrid.limits.chunks import CHUNK_BYTES
from p2pgrid.model.image import ImageConfig
from p2pgrid.model.workload import IpProtocol, Port

PLATFORM = {"os": "linux", "architecture": "amd64"}
CONFIG = {
    "Entrypoint": ["/bin/app", "--serve"],
    "Cmd": ["now"],
    "Env": ["PATH=/bin", "A=b=c", "EMPTY=", "NOTHING", "PATH=/usr/bin"],
    "User": "web:web",
    "WorkingDir": "/srv",
    "ExposedPorts": {"8080/tcp": {}, "53/udp": {}, "80": {}, "9/sctp": {}},
    "Labels": {"b": "2", "a": "1"},
    "StopSignal": "SIGQUIT",
}


def document(config: object, **fields: object) -> bytes:
    return json.dumps({**PLATFORM, "config": config, **fields}).encode()


def test_everything_that_matters_for_running_is_read() -> None:
    config = image_config(canonical_config(document(CONFIG)))

    assert config == ImageConfig(
        entrypoint=("/bin/app", "--serve"),
        command=("now",),
        env=(("PATH", "/usr/bin"), ("A", "b=c"), ("EMPTY", "")),
        user="web:web",
        working_directory="/srv",
        ports=(Port(number=53, protocol=IpProtocol.UDP), Port(number=80), Port(number=8080)),
        stop_signal="SIGQUIT",
    )


def test_what_tools_rewrite_does_not_matter() -> None:
    docker = document(
        {**dict(reversed(CONFIG.items())), "Hostname": "", "Volumes": None, "Tty": False},
        created="2024-01-01T00:00:00Z",
        history=[{"created_by": "x"}],
        docker_version="20.10",
    )

    assert canonical_config(docker) == canonical_config(document(CONFIG))


def test_labels_are_kept() -> None:
    assert json.loads(canonical_config(document(CONFIG)))["config"]["Labels"] == CONFIG["Labels"]


def test_an_image_that_says_nothing_is_run_by_defaults() -> None:
    assert image_config(canonical_config(document(None))) == ImageConfig()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": NaN}', "not JSON"),
        (b" " * (5 << 20), "limit"),
        (document({}, architecture="arm64"), "made for linux/arm64"),
        (document({}, os="windows"), "made for windows/amd64"),
        (document({"Cmd": "sh"}), "not a list"),
        (document({"Cmd": [1]}), "not a text"),
        (document({"Cmd": ["a\0b"]}), "not a text"),
        (document({"Cmd": ["x"] * 5000}), "too long"),
        (document({"Env": {"A": "b"}}), "not a list"),
        (document({"User": ["root"]}), "not a text"),
        (document({"User": "\ud800"}), "not valid Unicode"),
        (document({"ExposedPorts": ["80"]}), "not an object"),
        (document({"ExposedPorts": {"0/tcp": {}}}), "impossible port"),
        (document({"ExposedPorts": {"99999/tcp": {}}}), "impossible port"),
        (document({"ExposedPorts": {"http": {}}}), "no port"),
        (document({"ExposedPorts": {"80/icmp": {}}}), "no port"),
        (document({"Labels": ["a"]}), "not an object"),
        (document([1]), "not an object"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(BadImage, match=message):
        canonical_config(data)


def test_digests_of_plain_layers_are_found() -> None:
    assert diff_ids(document({}, rootfs={"type": "layers", "diff_ids": ["sha256:a"]})) == (
        "sha256:a",
    )


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(
    st.lists(texts, min_size=1, max_size=4),
    st.dictionaries(texts.filter(lambda name: name and "=" not in name), texts, max_size=3),
)
def test_the_startup_file_says_the_same_to_rfs(argv: list[str], env: dict[str, str]) -> None:
    config = ImageConfig(entrypoint=tuple(argv), env=tuple(env.items()), working_directory="/srv")

    entry = tomllib.loads(startup_toml(config).decode())["startup"]["entry"]

    assert entry["name"] == "core.system"
    assert [entry["args"]["name"], *entry["args"]["args"]] == argv
    assert entry["args"]["dir"] == "/srv"
    assert entry["args"]["env"] == env


def test_without_a_command_the_startup_file_starts_a_shell() -> None:
    assert 'name = "/bin/sh"' in startup_toml(ImageConfig()).decode()


def test_a_long_startup_file_is_made_of_blocks() -> None:
    """One block holds no more; an image may have that many variables."""
    config = {"Env": [f"A{n}={'x' * 1000}" for n in range(700)]}
    kept = canonical_config(
        json.dumps({"os": "linux", "architecture": "amd64", "config": config}).encode()
    )

    pieces = startup_pieces(kept)

    assert [len(piece) for piece in pieces[:-1]] == [CHUNK_BYTES]
    assert b"".join(pieces) == startup_toml(image_config(kept))
