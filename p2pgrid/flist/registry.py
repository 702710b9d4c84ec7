"""Images from registries, by the OCI distribution API 1.1 (shell: HTTP, for worker threads).

Layers are streamed from the registry into the conversion; a broken connection is resumed where
it broke. Nothing that comes is believed before its digest was verified. Plain HTTP is spoken with
this machine only, and a registry elsewhere cannot send us to an address of this machine. A password
goes to the registry that it is for, when that asks for it, and to where that has its tokens made.
"""

import ipaddress
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from p2pgrid.errors import BadImage, BadInput, NotFound, Refused, Unreachable
from p2pgrid.flist.documents import parse_document, text
from p2pgrid.flist.logins import DOCKER_HUB_HOST, Login, Logins
from p2pgrid.flist.oci import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    Index,
    Manifest,
    check_digest,
    choose_image,
    parse_manifest,
    verify,
)
from p2pgrid.flist.sources import Layer
from p2pgrid.flist.tar import Stream
from p2pgrid.limits.flist import (
    IMAGE_INDEX_DEPTH_MAX,
    IMAGE_MANIFEST_BYTES_MAX,
    REGISTRY_ATTEMPTS,
    REGISTRY_PAUSE_SECONDS,
    REGISTRY_REDIRECTS_MAX,
    REGISTRY_SECONDS_MAX,
)

Pause = Callable[[float], None]
"""Waits so many seconds."""

_REPOSITORY = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::\d{1,5})?")
_CHALLENGE = re.compile(r'([a-z]+)="([^"]*)"')
_NO_LOGINS = Logins()
_PORT_MAX = 65535
_DOCKER_HUB = "docker.io"
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Reference:
    """Which image of which registry."""

    host: str
    repository: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, name: str) -> "Reference":
        """Read what people write. Raises BadInput.

        >>> Reference.parse("redis:7").host, Reference.parse("redis:7").repository
        ('registry-1.docker.io', 'library/redis')
        >>> Reference.parse("localhost:5000/team/app").tag
        'latest'
        """
        rest, _, digest = name.partition("@")
        first, slash, path = rest.partition("/")
        if not slash or not ("." in first or ":" in first or first == "localhost"):
            first, path = _DOCKER_HUB, rest
        repository, colon, tag = path.partition(":")
        if first == _DOCKER_HUB:
            first = DOCKER_HUB_HOST
            repository = repository if "/" in repository else f"library/{repository}"
        tag = tag if colon else "latest"
        is_named = _REPOSITORY.fullmatch(repository) and _TAG.fullmatch(tag)
        if not is_named or not _is_host(first):
            raise BadInput(f"{name!r} names no image; write registry/repository:tag")
        return cls(first, repository, tag, check_digest(digest) if digest else "")

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}" + (
            f"@{self.digest}" if self.digest else f":{self.tag}"
        )

    @property
    def is_here(self) -> bool:
        """Whether the registry runs on this machine."""
        return _is_loopback(httpx.URL(f"http://{self.host}").host)


@contextmanager
def open_registry_image(
    name: str, *, logins: Logins = _NO_LOGINS, pause: Pause = time.sleep
) -> Generator["RegistryImage"]:
    """The image `name` of a registry, chosen for our nodes; layers are fetched when read.

    Raises:
        NotFound: no such image, none for our nodes, or not for this login.
        Unreachable: the registry does not answer, or fails again and again.
        BadInput, BadImage: the name or what comes makes no sense.
    """
    reference = Reference.parse(name)
    timeout = httpx.Timeout(REGISTRY_SECONDS_MAX)
    # A proxy of the environment is not asked for what runs on this machine.
    with httpx.Client(timeout=timeout, trust_env=not reference.is_here) as client:
        login = logins.find(reference.host, reference.repository)
        yield _choose(_Repository(reference, client, login, pause))


class RegistryImage:
    """An image whose layers are still in the registry."""

    def __init__(self, repository: "_Repository", manifest: Manifest) -> None:
        self._repository = repository
        self._manifest = manifest
        self.config = verify(repository.read(f"blobs/{manifest.config.digest}"), manifest.config)
        self.layers = [Layer(layer.size, digest=layer.digest) for layer in manifest.layers]

    @contextmanager
    def open_layer(self, number: int) -> Generator[Stream]:
        """As `LayeredImage`. Reading raises Unreachable."""
        blob = _Blob(self._repository, self._manifest.layers[number])
        try:
            yield blob
        finally:
            blob.close()


def _choose(repository: "_Repository") -> RegistryImage:
    reference = repository.reference
    data = repository.read(f"manifests/{reference.digest or reference.tag}")
    if reference.digest:
        verify(data, Descriptor("", reference.digest, len(data)))
    for _ in range(IMAGE_INDEX_DEPTH_MAX):
        found = parse_manifest(data)
        if not isinstance(found, Index):
            return RegistryImage(repository, found)
        chosen = choose_image(found)
        data = verify(repository.read(f"manifests/{chosen.digest}"), chosen)
    raise BadImage("indexes of indexes of indexes: the image is never reached")


class _Repository:
    """One repository of a registry, with what opens it once that was asked for."""

    def __init__(
        self, reference: Reference, client: httpx.Client, login: Login | None, pause: Pause
    ) -> None:
        self.reference = reference
        self._client = client
        self._login = login
        self._pause = pause
        self._authorization = ""

    def read(self, path: str) -> bytes:
        """A whole document. Raises NotFound, Unreachable, BadImage."""
        for last in self.attempts():
            try:
                response = self.open(path)
                try:
                    return _read_bounded(response)
                finally:
                    response.close()
            except (httpx.TransportError, _TryAgain) as error:
                if last:
                    raise self.unreachable(error) from error
        raise AssertionError("the last attempt returns or raises")

    def attempts(self) -> Iterator[bool]:
        """Whether it is the last one, with growing pauses in between."""
        for number in range(REGISTRY_ATTEMPTS):
            if number:
                self._pause(REGISTRY_PAUSE_SECONDS * 2 ** (number - 1))
            yield number == REGISTRY_ATTEMPTS - 1

    def unreachable(self, error: Exception) -> Unreachable:
        """What to raise after the last attempt."""
        return Unreachable(f"registry {self.reference.host} does not answer: {error}")

    def open(self, path: str, *, start: int = 0) -> httpx.Response:
        """An answer with status 200 or 206 whose body is still to be read.

        Raises:
            NotFound: it is not there, or not without a login.
            Refused: the registry answered with another error.
            httpx.TransportError, _TryAgain: try again.
        """
        scheme = "http" if self.reference.is_here else "https"
        url = httpx.URL(f"{scheme}://{self.reference.host}/v2/{self.reference.repository}/{path}")
        response = self._follow(url, start)
        if response.status_code == 401:  # the first time, or the token has expired meanwhile
            challenge = response.headers.get("www-authenticate", "")
            response.close()
            self._authorization = self._ask_authorization(challenge)
            response = self._follow(url, start)
        if response.status_code in (200, 206):
            return response
        response.close()
        if response.status_code == 404:
            raise NotFound(f"no image {self.reference}")
        if response.status_code in (401, 403):
            raise self._needs_login()
        raise Refused(f"registry {self.reference.host} answered {response.status_code}")

    def _needs_login(self) -> NotFound:
        if self._login is not None:
            return NotFound(f"no image {self.reference}, or not for the login {self._login.user!r}")
        return NotFound(
            f"no image {self.reference}, or only with a login; run `docker login "
            f"{self.reference.host}` as the user of this node"
        )

    def _follow(self, url: httpx.URL, start: int) -> httpx.Response:
        """Send a request, and follow redirects; what opens it goes to the registry alone."""
        for _ in range(REGISTRY_REDIRECTS_MAX + 1):
            headers = {"Accept": ", ".join(MANIFEST_TYPES + INDEX_TYPES)}
            headers["Accept-Encoding"] = "identity"
            if start:
                headers["Range"] = f"bytes={start}-"
            if self._authorization and url.netloc.decode() == self.reference.host:
                headers["Authorization"] = self._authorization
            response = self._send(url, headers)
            if response.status_code not in _REDIRECTS:
                return response
            response.close()
            url = self._checked(response.headers.get("location", ""), base=url)
        raise Refused(f"registry {self.reference.host} redirects without end")

    def _send(self, url: httpx.URL, headers: Mapping[str, str]) -> httpx.Response:
        response = self._client.send(
            self._client.build_request("GET", url, headers=headers), stream=True
        )
        if response.status_code in _TRY_AGAIN:
            response.close()
            raise _TryAgain(f"status {response.status_code}")
        return response

    def _checked(self, place: str, *, base: httpx.URL | None = None) -> httpx.URL:
        """A place that a registry sends us to: HTTPS, and never this machine."""
        try:
            url = base.join(place) if base is not None else httpx.URL(place)
        except httpx.InvalidURL as error:
            raise Refused(f"registry {self.reference.host} sends us nowhere: {error}") from error
        if not _has_port(url):
            raise Refused(f"registry {self.reference.host} sends us to {str(url)[:80]}")
        is_safe = url.scheme == "https" and not _is_loopback(url.host)
        if not is_safe and not (self.reference.is_here and url.scheme in ("http", "https")):
            raise Refused(f"registry {self.reference.host} sends us to {str(url)[:80]}")
        return url

    def _ask_authorization(self, challenge: str) -> str:
        """What to show from now on: the login, or a token from where the registry says.

        Raises NotFound.
        """
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self._login is not None:
            return self._login.header
        fields = dict(_CHALLENGE.findall(rest))
        if scheme.lower() != "bearer" or "realm" not in fields:
            raise self._needs_login()
        scope = f"repository:{self.reference.repository}:pull"
        url = self._checked(fields["realm"]).copy_merge_params({"scope": scope})
        if "service" in fields:
            url = url.copy_merge_params({"service": fields["service"]})
        headers = {"Accept-Encoding": "identity"}
        if self._login is not None:
            headers["Authorization"] = self._login.header
        response = self._send(url, headers)
        try:
            if response.status_code != 200:
                raise self._needs_login()
            document = parse_document(_read_bounded(response), "token")
        finally:
            response.close()
        return f"Bearer {text(document, 'token') or text(document, 'access_token')}"


class _Blob:
    """The bytes of a layer, from as many connections as it takes."""

    def __init__(self, repository: _Repository, layer: Descriptor) -> None:
        self._repository = repository
        self._path = f"blobs/{layer.digest}"
        self._size = layer.size
        self._at = 0
        self._rest = b""
        self._response: httpx.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def read(self, size: int, /) -> bytes:
        """As `Stream`. Raises Unreachable, NotFound."""
        while not self._rest and self._at < self._size:
            self._rest = self._next()
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def close(self) -> None:
        """Give the connection back."""
        if self._response is not None:
            self._response.close()
            self._response = None

    def _next(self) -> bytes:
        for last in self._repository.attempts():
            try:
                return self._piece()
            except (httpx.TransportError, _TryAgain) as error:
                self.close()
                if last:
                    raise self._repository.unreachable(error) from error
        raise AssertionError("the last attempt returns or raises")

    def _piece(self) -> bytes:
        if self._response is None:
            self._connect()
        piece = next(self._pieces, b"")
        if not piece:
            raise _TryAgain("the connection ended early")
        self._at += len(piece)
        return piece

    def _connect(self) -> None:
        self._response = self._repository.open(self._path, start=self._at)
        pieces = self._response.iter_raw()
        if self._at and self._response.status_code != 206:
            pieces = _without_first(pieces, self._at)
        self._pieces = pieces


class _TryAgain(Exception):
    """The registry failed in a way that may pass."""


def _without_first(pieces: Iterator[bytes], count: int) -> Iterator[bytes]:
    for piece in pieces:
        if count < len(piece):
            yield piece[count:]
        count -= min(count, len(piece))


def _read_bounded(response: httpx.Response) -> bytes:
    data = bytearray()
    for piece in response.iter_raw():
        data += piece
        if len(data) > IMAGE_MANIFEST_BYTES_MAX:
            raise BadImage(f"a document of a registry is over {IMAGE_MANIFEST_BYTES_MAX} bytes")
    return bytes(data)


def _is_host(host: str) -> bool:
    try:
        return _HOST.fullmatch(host) is not None and _has_port(httpx.URL(f"http://{host}"))
    except httpx.InvalidURL:
        return False


def _has_port(url: httpx.URL) -> bool:
    """Whether the port can be one; httpx lets others through as far as the system call."""
    return (url.port or 0) <= _PORT_MAX


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
