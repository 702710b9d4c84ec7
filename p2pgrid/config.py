"""What an operator may set: `node.toml` in the data directory, or the file that `--config` names.

    listen    = ["/ip6/::/tcp/4001"]      # where to accept connections
    peers     = ["/ip4/192.0.2.1/tcp/4001/p2p/12D3…"]   # first peers to try
    farm      = "3f9c…"                   # id of the farm that this node belongs to
    share     = 0.5                       # part of this machine to offer
    light     = false                     # only use the grid
    mdns      = true                      # look for peers on the local network
    observers = ["/ip4/0.0.0.0/tcp/4003"] # where anybody may listen to announcements by gossipsub
    log_level = "info"
    explorer_http = "127.0.0.1:8080"      # REST as of gridproxy, for everybody who gets there
    place     = "51.05, 3.72, Belgium, Ghent"   # degrees north, degrees east, country, city

All have a default. Options of the command line win over the file.
"""

import difflib
import re
import tomllib
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from p2pgrid.errors import BadInput

FILE_NAME = "node.toml"
LOG_LEVELS = ("debug", "info", "warning", "error")
_SHARE_MIN = 0.01
_EXAMPLE = "/ip4/0.0.0.0/tcp/4001"
_LISTS = ("listen", "peers", "observers")
_PORT_MAX = 65_535
_DEGREES = re.compile(r"-?[0-9]{1,3}(\.[0-9]{1,9})?", re.ASCII)
_NORTH_MAX, _EAST_MAX = 90, 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of one node. Raises BadInput for values that make no sense."""

    data: Path
    """Where everything of the node is kept. Set by `--data` only."""
    listen: tuple[str, ...] = ("/ip6/::/tcp/4001", "/ip4/0.0.0.0/tcp/4001")
    """Multiaddrs to accept connections on."""
    peers: tuple[str, ...] = ()
    """Multiaddrs, with peer id, of first peers."""
    farm: str | None = None
    """64 hex digits; None: a farm of its own."""
    share: float = 1.0
    """Part of the machine that is offered, 0.01 to 1."""
    light: bool = False
    """Only use the grid; offer, store and vote for nothing."""
    mdns: bool = True
    """Look for peers on the local network."""
    observers: tuple[str, ...] = ()
    """Multiaddrs where those outside the grid may listen to announcements; none by default."""
    log_level: str = "info"
    explorer_http: str | None = None
    """HOST:PORT where the REST interface for everybody listens; None: nowhere."""
    place: str | None = None
    """LATITUDE, LONGITUDE, COUNTRY[, CITY]: where the node stands; None: it does not say."""

    def __post_init__(self) -> None:
        for address in (*self.listen, *self.peers, *self.observers):
            if not address.startswith("/"):
                raise BadInput(f"{address!r} is not an address; write for example {_EXAMPLE}")
        if self.farm is not None and not _is_id(self.farm):
            raise BadInput(f"farm = {self.farm!r} is not an id of 64 hex digits")
        if not _is_number(self.share) or not _SHARE_MIN <= self.share <= 1:
            raise BadInput(f"share = {self.share!r} is not a number from {_SHARE_MIN} to 1")
        for name in ("light", "mdns"):
            if not isinstance(getattr(self, name), bool):
                raise BadInput(f"{name} = {getattr(self, name)!r} is neither true nor false")
        if self.log_level not in LOG_LEVELS:
            raise BadInput(f"log_level = {self.log_level!r} is none of {', '.join(LOG_LEVELS)}")
        self._check_what_others_see()
        if self.place is not None:
            parse_place(self.place)

    def _check_what_others_see(self) -> None:
        if self.light and self.observers:
            raise BadInput("a light peer hears no announcements, so there is nothing to observe")
        if self.explorer_http is not None:
            parse_host_port(self.explorer_http)
            if self.light:
                raise BadInput("a light peer knows too little for explorer_http; leave it out")


_SETTINGS = tuple(field.name for field in fields(Config) if field.name != "data")


def read_config(data: Path, path: Path | None = None) -> Config:
    """The settings in `path`; without one, in `node.toml` of the data directory, if there.

    Raises:
        BadInput: the file cannot be read, is not TOML, or says what makes no sense.
    """
    if path is None:
        path = data / FILE_NAME
        if not path.exists():
            return Config(data=data)
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: is not TOML: {error}") from error
    try:
        return Config(data=data, **_known(settings))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def parse_place(text: object) -> tuple[float, float, str, str]:
    """Degrees north and east, country and city of a place. Raises BadInput.

    >>> parse_place("-33.5, -70.25, Chile"), parse_place("51.05,3.72,Belgium,Ghent")
    ((-33.5, -70.25, 'Chile', ''), (51.05, 3.72, 'Belgium', 'Ghent'))
    """
    parts = [part.strip() for part in text.split(",")] if isinstance(text, str) else []
    numbers = [float(part) for part in parts[:2] if _DEGREES.fullmatch(part)]
    if len(parts) not in (3, 4) or len(numbers) < 2 or not all(parts):
        raise BadInput(
            f"{text!r} is no place; write latitude, longitude, country and perhaps city, "
            "for example 51.05, 3.72, Belgium, Ghent"
        )
    north, east = numbers
    if abs(north) > _NORTH_MAX or abs(east) > _EAST_MAX:
        raise BadInput(f"{text!r} is nowhere: degrees go to {_NORTH_MAX} north, {_EAST_MAX} east")
    return north, east, parts[2], parts[3] if len(parts) == 4 else ""


def parse_host_port(text: object) -> tuple[str, int]:
    """The IP address and port in HOST:PORT. Raises BadInput.

    Without a host it is every address of this machine.

    >>> parse_host_port("127.0.0.1:8080"), parse_host_port("[::1]:80"), parse_host_port(":8080")
    (('127.0.0.1', 8080), ('::1', 80), ('::', 8080))
    """
    host, colon, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    is_bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if is_bracketed else host or "::")
    except ValueError:
        address = None
    is_port = re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) is not None and int(port) <= _PORT_MAX
    if (
        not colon
        or address is None
        or not is_port
        or (bool(host) and is_bracketed != (address.version == 6))
    ):
        raise BadInput(f"{text!r} is not HOST:PORT; write for example 127.0.0.1:8080 or [::]:8080")
    return str(address), int(port)


def _known(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings as fields of `Config`."""
    for name, value in settings.items():
        if name not in _SETTINGS:
            near = difflib.get_close_matches(name, _SETTINGS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_SETTINGS)}"
            raise BadInput(f"there is no setting {name!r}; {hint}")
        if name in _LISTS and not _is_list_of_texts(value):
            raise BadInput(f'{name} = {value!r} is not a list of addresses; write {name} = ["…"]')
    return {name: tuple(value) if name in _LISTS else value for name, value in settings.items()}


def _is_id(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
