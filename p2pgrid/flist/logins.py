"""Logins at image registries, as `docker login` and `skopeo login` keep them (shell: reads a file).

The file belongs to the user who runs the node: `$DOCKER_CONFIG/config.json`, or
`~/.docker/config.json`. Programs that it names (`credHelpers`, `credsStore`) are not run.
"""

import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from p2pgrid.errors import BadInput
from p2pgrid.flist.documents import check_text, mapping, parse_document, text
from p2pgrid.limits.flist import LOGINS_BYTES_MAX

_DOCKER_HUB_KEYS = ("docker.io", "index.docker.io")
DOCKER_HUB_HOST = "registry-1.docker.io"
"""Where Docker Hub has its registry."""


@dataclass(frozen=True, slots=True)
class Login:
    """A user of one registry. Its password is never shown."""

    user: str
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """The value of `Authorization` (RFC 7617)."""
        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Logins:
    """Logins by the registry, or the part of one, that they are for."""

    by_place: Mapping[str, Login] = field(default_factory=dict)

    def find(self, host: str, repository: str) -> Login | None:
        """The login for a repository: the one for the longest part of its name."""
        names = [host, *repository.split("/")]
        for length in range(len(names), 0, -1):
            if found := self.by_place.get("/".join(names[:length])):
                return found
        return None


def read_logins(path: Path | None = None) -> Logins:
    """The logins in a file, by default that of this user; none if there is no file.

    Raises:
        BadInput: it cannot be read, or is not such a file.
    """
    if path is None:
        top = os.environ.get("DOCKER_CONFIG")
        path = Path(top or Path.home() / ".docker") / "config.json"
    try:
        with path.open("rb") as file:
            data = file.read(LOGINS_BYTES_MAX + 1)
    except FileNotFoundError:
        return Logins()
    except OSError as error:
        raise BadInput(f"cannot read the logins in {path}: {error.strerror}") from error
    if len(data) > LOGINS_BYTES_MAX:
        raise BadInput(f"{path} has over {LOGINS_BYTES_MAX} bytes; it holds more than logins")
    return parse_logins(data, str(path))


def parse_logins(data: bytes, name: str) -> Logins:
    """The logins in the bytes of a file called `name`; those without a password are left out.

    Raises:
        BadInput: it is not such a file.
    """
    found = {}
    auths = mapping(parse_document(data, name), "auths")
    for key in auths:
        login = _login(mapping(auths, key), f"the login for {key[:80]} in {name}")
        if login is not None:
            found[_place(key)] = login
    return Logins(found)


def _place(key: str) -> str:
    """`host[/repository…]` of what stands there; Docker Hub and old files write addresses."""
    _, has_scheme, rest = key.rpartition("://")
    host, _, path = rest.partition("/")
    if host in _DOCKER_HUB_KEYS:
        host = DOCKER_HUB_HOST
    path = "" if has_scheme or path in ("v1", "v2") else path.strip("/")
    return f"{host}/{path}" if path else host


def _login(entry: Mapping[str, object], what: str) -> Login | None:
    user, password = text(entry, "username"), text(entry, "password")
    if packed := text(entry, "auth"):
        try:
            unpacked = b64decode(packed, validate=True).decode()
        except ValueError as error:
            raise BadInput(f"{what} is damaged; log in again") from error
        user, _, password = check_text(unpacked, "login").partition(":")
    return Login(user, password) if user and password else None
