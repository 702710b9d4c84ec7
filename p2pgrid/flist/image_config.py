"""What an image says about how it is run: from its OCI configuration to the flist and back.

The flist keeps the part that is about running, in canonical form, so that one image gives one
flist whether it comes from a registry, from `docker save` or from an OCI layout: tools rewrite
the rest (history, creation time, empty fields) when they convert between those.
"""

import json
import re
from collections.abc import Mapping

from p2pgrid.errors import BadImage, InvalidRecord
from p2pgrid.flist.documents import mapping, parse_document, text, texts
from p2pgrid.limits.chunks import CHUNK_BYTES
from p2pgrid.limits.flist import IMAGE_CONFIG_ITEMS_MAX
from p2pgrid.model.image import ImageConfig
from p2pgrid.model.workload import IpProtocol, Port

ARCHITECTURE = "amd64"
OPERATING_SYSTEM = "linux"
STARTUP_FILE = b".startup.toml"
_KEPT = (
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "Labels",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def canonical_config(data: bytes) -> str:
    """What to keep of an OCI or Docker configuration: sorted, without empty fields.

    Raises:
        BadImage: not such a document, or an image for another kind of machine.
    """
    document = parse_document(data, "image configuration")
    platform = (text(document, "os"), text(document, "architecture"))
    if platform != (OPERATING_SYSTEM, ARCHITECTURE):
        raise BadImage(f"image is made for {'/'.join(platform)}; nodes run linux/amd64")
    config = mapping(document, "config")
    kept = {
        "architecture": ARCHITECTURE,
        "os": OPERATING_SYSTEM,
        "config": {key: config[key] for key in _KEPT if config.get(key)},
    }
    canonical = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    image_config(canonical)
    return canonical


def diff_ids(data: bytes) -> tuple[str, ...]:
    """Digests of the plain layers that a configuration names, lowest first. Raises BadImage."""
    return texts(mapping(parse_document(data, "image configuration"), "rootfs"), "diff_ids")


def image_config(kept: str) -> ImageConfig:
    """Read what `canonical_config` gave, or anybody claims it gave. Raises BadImage."""
    try:
        data = kept.encode()
    except UnicodeEncodeError as error:
        raise BadImage("image configuration is not valid Unicode") from error
    config = mapping(parse_document(data, "image configuration"), "config")
    for key in ("Labels", "Volumes", "Healthcheck"):
        mapping(config, key)
    return ImageConfig(
        entrypoint=texts(config, "Entrypoint"),
        command=texts(config, "Cmd"),
        env=_env(texts(config, "Env")),
        user=text(config, "User"),
        working_directory=text(config, "WorkingDir") or "/",
        ports=_ports(mapping(config, "ExposedPorts")),
        stop_signal=text(config, "StopSignal") or "SIGTERM",
    )


def startup_toml(config: ImageConfig) -> bytes:
    """`.startup.toml` as rfs writes it, so that its virtual machines can start our flists."""
    argv = (*config.entrypoint, *config.command) or ("/bin/sh",)
    lines = [
        "[startup.entry]",
        'name = "core.system"',
        "",
        "[startup.entry.args]",
        f"name = {_quoted(argv[0])}",
        f"args = [{', '.join(_quoted(argument) for argument in argv[1:])}]",
        f"dir = {_quoted(config.working_directory)}",
        "",
        "[startup.entry.args.env]",
        *(f"{_key(name)} = {_quoted(value)}" for name, value in dict(config.env).items()),
    ]
    return ("\n".join(lines) + "\n").encode()


def startup_pieces(kept: str) -> list[bytes]:
    """The text of `.startup.toml` for what `canonical_config` gave, a block's bytes each."""
    text = startup_toml(image_config(kept))
    return [text[start : start + CHUNK_BYTES] for start in range(0, len(text), CHUNK_BYTES)]


def _env(lines: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Pairs, split at the first "="; a later one of the same name wins in place."""
    env: dict[str, str] = {}
    for line in lines:
        name, equals, value = line.partition("=")
        if name and equals:
            env[name] = value
    return tuple(env.items())


def _ports(exposed: Mapping[str, object]) -> tuple[Port, ...]:
    ports = set()
    for name in exposed:
        number, _, protocol = name.partition("/")
        if protocol == "sctp":
            continue  # nothing on the grid carries it
        if protocol not in ("", "tcp", "udp") or not re.fullmatch(r"\d{1,5}", number):
            raise BadImage(f"image exposes {name[:40]!r}, which is no port")
        ports.add((int(number), IpProtocol.UDP if protocol == "udp" else IpProtocol.TCP))
    if len(ports) > IMAGE_CONFIG_ITEMS_MAX:
        raise BadImage("image exposes too many ports")
    try:
        return tuple(Port(number=number, protocol=protocol) for number, protocol in sorted(ports))
    except InvalidRecord as error:
        raise BadImage(f"image exposes an impossible port: {error}") from error


def _quoted(value: str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _quoted(name)
