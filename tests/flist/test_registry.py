"""Registries are asked politely, believed in nothing, and cannot send us where they like."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from p2pgrid.errors import BadImage, BadInput, NotFound, Refused, Unreachable
from p2pgrid.flist.convert import convert_layers
from p2pgrid.flist.logins import Login, Logins
from p2pgrid.flist.packing import Packer
from p2pgrid.flist.registry import Reference, open_registry_image
from p2pgrid.limits.flist import REGISTRY_ATTEMPTS
from tests.flist.archives import OCI_INDEX, OCI_MANIFEST, Chunks, member, tar, write_layout

LAYERS = [tar(member("a", b"1" * 700_000)), tar(member("b", b"2"))]
Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[str, dict[str, str]], Answer | None]


@dataclass
class FakeRegistry:
    """A registry of one image, whose answers a test can replace."""

    documents: dict[str, bytes]
    host: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    instead: Handler = lambda path, headers: None

    def answer(self, path: str, headers: dict[str, str]) -> Answer:
        self.asked.append((path, headers))
        other = self.instead(path, headers)
        if other is not None:
            return other
        data = self.documents.get(path)
        return (404, {}, b"{}") if data is None else (200, {}, data)

    @property
    def layer(self) -> str:
        """Where the first layer is."""
        return max(self.documents, key=lambda path: len(self.documents[path]))


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[FakeRegistry]:
    layout = write_layout(tmp_path / "layout", LAYERS, compress="plain")
    fake = FakeRegistry({})
    for blob in (layout / "blobs" / "sha256").iterdir():
        for kind in ("blobs", "manifests"):
            fake.documents[f"/v2/team/app/{kind}/sha256:{blob.name}"] = blob.read_bytes()
    index = json.loads((layout / "index.json").read_text())
    digest = index["manifests"][0]["digest"]
    fake.documents["/v2/team/app/manifests/1"] = fake.documents[f"/v2/team/app/manifests/{digest}"]

    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, data = fake.answer(self.path, dict(self.headers.items()))
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(data))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            if "Content-Length" in headers:
                self.close_connection = True  # it promised more than it sent

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Requests) as server:
        fake.host = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield fake
        server.shutdown()
        thread.join()


def pull(
    registry: FakeRegistry, name: str = "team/app:1", login: Login | None = None
) -> list[bytes]:
    """Names at the top of the image."""
    pauses: list[float] = []
    logins = Logins({registry.host: login} if login else {})
    with (
        open_registry_image(f"{registry.host}/{name}", logins=logins, pause=pauses.append) as image,
        Packer(Chunks().put, threads=1) as packer,
    ):
        root, _ = convert_layers(image, packer, lambda done, total: None)
    return sorted(root.children)


ALL = [b".startup.toml", b"a", b"b"]


def test_an_image_is_pulled(registry: FakeRegistry) -> None:
    assert pull(registry) == ALL


def test_an_image_is_pulled_by_its_digest(registry: FakeRegistry) -> None:
    data = registry.documents["/v2/team/app/manifests/1"]

    assert pull(registry, f"team/app@sha256:{hashlib.sha256(data).hexdigest()}") == ALL


def test_the_image_for_our_nodes_is_chosen_from_an_index(registry: FakeRegistry) -> None:
    data = registry.documents["/v2/team/app/manifests/1"]
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    arm = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    ours = {"os": "linux", "architecture": "amd64"}
    entries = [
        {"mediaType": OCI_MANIFEST, "digest": f"sha256:{'0' * 64}", "size": 9, "platform": arm},
        {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(data), "platform": ours},
    ]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    registry.documents["/v2/team/app/manifests/multi"] = json.dumps(index).encode()

    assert pull(registry, "team/app:multi") == ALL


def test_a_token_is_fetched_where_the_registry_says(registry: FakeRegistry) -> None:
    def instead(path: str, headers: dict[str, str]) -> Answer | None:
        if path.startswith("/token"):
            return 200, {}, b'{"token": "secret"}'
        if headers.get("Authorization") != "Bearer secret":
            realm = f'Bearer realm="http://{registry.host}/token",service="s"'
            return 401, {"WWW-Authenticate": realm}, b""
        return None

    registry.instead = instead

    assert pull(registry) == ALL
    asked = [path for path, _ in registry.asked if path.startswith("/token")]
    assert asked == ["/token?scope=repository%3Ateam%2Fapp%3Apull&service=s"]


def test_a_redirect_is_followed_without_the_token(registry: FakeRegistry) -> None:
    """Storage services refuse requests with a token that is not theirs, and should not see it."""
    other = registry.host.replace("127.0.0.1", "localhost")

    def instead(path: str, headers: dict[str, str]) -> Answer | None:
        if path.startswith("/token"):
            return 200, {}, b'{"access_token": "secret"}'
        if "Authorization" not in headers and "localhost" not in headers["Host"]:
            return 401, {"WWW-Authenticate": f'Bearer realm="http://{registry.host}/token"'}, b""
        if path == registry.layer and "localhost" not in headers["Host"]:
            return 307, {"Location": f"http://{other}{path}"}, b""
        return None

    registry.instead = instead

    assert pull(registry) == ALL
    elsewhere = [headers for _, headers in registry.asked if "localhost" in headers["Host"]]
    assert len(elsewhere) == 1
    assert "Authorization" not in elsewhere[0]


ME = Login("me", "secret")
BASIC = {"WWW-Authenticate": 'Basic realm="x"'}


def test_a_login_is_shown_when_the_registry_asks_for_it(registry: FakeRegistry) -> None:
    registry.instead = lambda path, headers: (
        None if headers.get("Authorization") == ME.header else (401, BASIC, b"")
    )

    assert pull(registry, login=ME) == ALL


def test_a_token_is_made_for_the_login(registry: FakeRegistry) -> None:
    def instead(path: str, headers: dict[str, str]) -> Answer | None:
        if path.startswith("/token"):
            is_me = headers.get("Authorization") == ME.header
            return (200, {}, b'{"token": "t"}') if is_me else (401, {}, b"")
        realm = f'Bearer realm="http://{registry.host}/token"'
        is_open = headers.get("Authorization") == "Bearer t"
        return None if is_open else (401, {"WWW-Authenticate": realm}, b"")

    registry.instead = instead

    assert pull(registry, login=ME) == ALL
    with pytest.raises(NotFound, match="docker login"):
        pull(registry)


def test_a_token_that_expired_is_replaced(registry: FakeRegistry) -> None:
    tokens: list[str] = []

    def instead(path: str, headers: dict[str, str]) -> Answer | None:
        if path.startswith("/token"):
            tokens.append(f"t{len(tokens)}")
            return 200, {}, json.dumps({"token": tokens[-1]}).encode()
        realm = f'Bearer realm="http://{registry.host}/token"'
        wanted = "Bearer t1" if path == registry.layer else "Bearer t0"
        is_open = headers.get("Authorization") == wanted or len(tokens) > 1
        return None if is_open else (401, {"WWW-Authenticate": realm}, b"")

    registry.instead = instead

    assert pull(registry) == ALL
    assert tokens == ["t0", "t1"]


def test_a_login_that_is_refused_is_said_without_its_password(registry: FakeRegistry) -> None:
    registry.instead = lambda path, headers: (401, BASIC, b"")

    with pytest.raises(NotFound, match="login 'me'") as refused:
        pull(registry, login=ME)

    assert "secret" not in str(refused.value)
    assert len(registry.asked) == 2


def test_a_password_goes_to_nobody_else(registry: FakeRegistry) -> None:
    other = registry.host.replace("127.0.0.1", "localhost")

    def instead(path: str, headers: dict[str, str]) -> Answer | None:
        if "localhost" in headers["Host"]:
            return None
        if headers.get("Authorization") != ME.header:
            return 401, BASIC, b""
        return 307, {"Location": f"http://{other}{path}"}, b""

    registry.instead = instead

    assert pull(registry, login=ME) == ALL
    elsewhere = [headers for _, headers in registry.asked if "localhost" in headers["Host"]]
    assert elsewhere
    assert not any("Authorization" in headers for headers in elsewhere)


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_layer_is_resumed_where_the_connection_broke(
    has_ranges: bool, registry: FakeRegistry
) -> None:
    sent: list[int] = []

    def instead(path: str, headers: dict[str, str]) -> Answer | None:
        if path != registry.layer:
            return None
        data = registry.documents[path]
        start = int(headers.get("Range", "bytes=0-")[6:-1]) if has_ranges else 0
        sent.append(start)
        end = len(data) if len(sent) > 2 else 100_000 * len(sent)
        rest = {"Content-Length": str(len(data) - start)}
        return 206 if start else 200, rest, data[start:end]

    registry.instead = instead

    assert pull(registry) == ALL
    assert sent == ([0, 100_000, 200_000] if has_ranges else [0, 0, 0])


def test_a_failure_that_passes_is_tried_again(registry: FakeRegistry) -> None:
    failures = [503, 429, 500]
    registry.instead = lambda path, headers: (failures.pop(), {}, b"") if failures else None

    assert pull(registry) == ALL


def test_a_failure_that_stays_is_said(registry: FakeRegistry) -> None:
    registry.instead = lambda path, headers: (503, {}, b"")

    with pytest.raises(Unreachable, match="status 503"):
        pull(registry)

    assert len(registry.asked) == REGISTRY_ATTEMPTS


def test_a_registry_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1 does not answer"):
        pull(FakeRegistry({}, host="127.0.0.1:1"))


def test_an_image_that_is_not_there_is_not_found(registry: FakeRegistry) -> None:
    with pytest.raises(NotFound, match=r"no image .*team/app:2$"):
        pull(registry, "team/app:2")


@pytest.mark.parametrize("challenge", ["", 'Basic realm="x"', "Bearer", "Bearer realm="])
def test_an_image_that_needs_a_login_is_said(challenge: str, registry: FakeRegistry) -> None:
    registry.instead = lambda path, headers: (401, {"WWW-Authenticate": challenge}, b"")

    with pytest.raises(NotFound, match="login"):
        pull(registry)


@pytest.mark.parametrize("which", ["layer", "manifest by digest", "config"])
def test_other_bytes_than_promised_are_refused(which: str, registry: FakeRegistry) -> None:
    manifest = json.loads(registry.documents["/v2/team/app/manifests/1"])
    name = "team/app:1"
    match which:
        case "layer":
            path = registry.layer
        case "config":
            path = f"/v2/team/app/blobs/{manifest['config']['digest']}"
        case _:
            name = f"team/app@sha256:{'1' * 64}"
            path = f"/v2/team/app/manifests/sha256:{'1' * 64}"
            registry.documents[path] = registry.documents["/v2/team/app/manifests/1"]
    registry.documents[path] = registry.documents[path].replace(b"1", b"3", 1)

    with pytest.raises(BadImage):
        pull(registry, name)


def test_a_document_without_end_is_refused(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2pgrid.flist.registry.IMAGE_MANIFEST_BYTES_MAX", 10)

    with pytest.raises(BadImage, match="over 10 bytes"):
        pull(registry)


@pytest.mark.parametrize(
    "place",
    ["", "/v2/team/app/manifests/1", "file:///etc/passwd", "http://x:99999999/", "ftp://x/y"],
)
def test_a_redirect_to_nowhere_is_refused(place: str, registry: FakeRegistry) -> None:
    registry.instead = lambda path, headers: (307, {"Location": place}, b"")

    with pytest.raises(Refused):
        pull(registry)


@pytest.mark.parametrize(
    "place",
    ["http://example.com/x", "https://127.0.0.1/x", "https://[::1]:80/x", "https://localhost/x"],
)
def test_a_registry_elsewhere_cannot_send_us_here(
    place: str, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reference, "is_here", False)
    monkeypatch.setattr(
        "p2pgrid.flist.registry._Repository._send", redirecting_to(place), raising=True
    )

    with pytest.raises(Refused, match="sends us to"):
        pull(registry)


def redirecting_to(place: str) -> Callable[..., object]:
    """Every request is answered by this redirect."""
    import httpx

    return lambda repository, url, headers: httpx.Response(307, headers={"Location": place})


@pytest.mark.parametrize(
    ("name", "host", "repository", "tag"),
    [
        ("redis", "registry-1.docker.io", "library/redis", "latest"),
        ("docker.io/team/app:2", "registry-1.docker.io", "team/app", "2"),
        ("ghcr.io/a/b/c", "ghcr.io", "a/b/c", "latest"),
        ("localhost/x:1", "localhost", "x", "1"),
        ("[::1]:5000/x:1", "[::1]:5000", "x", "1"),
        ("registry:5000/x@sha256:" + "0" * 64, "registry:5000", "x", "latest"),
    ],
)
def test_references_are_read_as_docker_reads_them(
    name: str, host: str, repository: str, tag: str
) -> None:
    reference = Reference.parse(name)

    assert (reference.host, reference.repository, reference.tag) == (host, repository, tag)


@pytest.mark.parametrize(
    "name",
    [
        *("", "UPPER", "a b", "host.example/", "x:", "x:ta/g", "h.x/../y", "x@sha256:0"),
        *("u:p@h.x/y", "h.x:1/a?b", "h.x/a#b", "-h.x/a:\n", "h.x:99999/a", "[1:2]:3:4/a"),
    ],
)
def test_what_is_no_reference_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        Reference.parse(name)
