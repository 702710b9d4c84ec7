"""Images that other tools made and moved give the tree that other tools unpack."""

import hashlib
import json
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio

from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.errors import NotFound
from p2pgrid.flist.fetching import Progress
from p2pgrid.flist.oci_archive import write_oci_archive
from p2pgrid.flist.reading import BlockReader
from p2pgrid.flist.service import FlistService
from p2pgrid.flist.tree import chunk_ids, walk
from tests.flist.archives import (
    OCI_INDEX,
    device,
    directory,
    hard_link,
    member,
    symlink,
    tar,
    write_layout,
)
from tests.flist.trees import seen

TOOLS = ("skopeo", "umoci", "docker-registry")
REGISTRY_SECONDS_MAX = 20.0
PASSWORD = "open sesame"
PASSWORD_HASH = "$2b$04$YGV0x1vlqIqsKQSEqbC5teRRFv9TYOSYFlmXkWWwcuirXbEPjoIxy"


def ignore(progress: Progress) -> None:
    """For conversions whose progress is of no interest."""


def quiet(done: int, total: int) -> None:
    """Likewise."""


def run(*command: str | Path) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command[0]}: {done.stderr}"


@pytest.fixture(scope="module")
def tools() -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.fail(f"{', '.join(missing)} missing; run scripts/setup, or apt-get install them")


@contextmanager
def serving(top: Path, settings: str) -> Iterator[str]:
    """Debian's docker-registry on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    (top / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {top}}}}}\n"
        f"http: {{addr: '{host}'}}\nlog: {{level: error}}\n{settings}"
    )
    server = subprocess.Popen(
        ["docker-registry", "serve", top / "config.yml"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + REGISTRY_SECONDS_MAX
        while not is_listening(host):
            assert server.poll() is None, "docker-registry ended at once"
            assert time.monotonic() < deadline, "docker-registry does not start"
        yield host
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def registry(tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry for everybody."""
    with serving(tmp_path_factory.mktemp("registry"), "") as host:
        yield host


@pytest.fixture
def private_registry(tools: None, tmp_path: Path) -> Iterator[str]:
    """A registry that wants a login."""
    with TemporaryDirectory() as top:
        (Path(top) / "users").write_text(f"me:{PASSWORD_HASH}\n")
        with serving(Path(top), f"auth: {{htpasswd: {{realm: x, path: {top}/users}}}}\n") as host:
            yield host


def is_listening(host: str) -> bool:
    name, _, port = host.partition(":")
    try:
        socket.create_connection((name, int(port)), timeout=0.2).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def layout(tools: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with all that layers can do."""
    top = tmp_path_factory.mktemp("image")
    large = bytes(range(256)) * 5000
    return write_layout(
        top / "layout",
        [
            tar(
                directory("./", mode=0o755, mtime=1_600_000_000),
                directory("etc", mtime=1_600_000_001),
                member("etc/passwd", b"root:x:0:0::/:/bin/sh\n", mtime=1_600_000_002),
                directory("opaque"),
                member("opaque/old"),
                directory("gone/deep"),
                member("gone/deep/file", b"x"),
                member("large", large, uid=1000, gid=100, mode=0o640),
                symlink("link", "../../etc"),
                member("pipe", kind=b"6"),
            ),
            tar(
                member(".wh.gone"),
                member("opaque/.wh..wh..opq"),
                member("opaque/new", b"new", mode=0o4755),
                hard_link("large too", "large"),
                directory("etc", mode=0o700, mtime=1_600_000_003),
            ),
            tar(member("ünicode/" + "long" * 40, b"y"), member("etc/.wh.none")),
            tar(
                member("usr/lib/old", b"1"),
                member("usr/lib/hidden", b"2"),
                symlink("lib", "usr/lib"),
                symlink("usr/up", "../../../etc"),
                symlink("absolute", "/usr/up"),
                device("dev/null", 1, 3, tarfile.CHRTYPE),
            ),
            tar(
                member("lib/new", b"3", mode=0o755, mtime=1_600_000_004),
                member("lib/.wh.hidden"),
                member("absolute/group", b"root:x:0:\n", uid=7, gid=8),
                hard_link("old too", "lib/old"),
            ),
        ],
        config={"Cmd": ["/bin/sh", "-c", "true"], "Env": ["PATH=/bin"], "User": "1000"},
    )


@pytest.mark.slow
async def test_docker_and_oci_from_everywhere_are_one_flist(
    layout: Path, registry: str, service: FlistService, canary: Path
) -> None:
    name = f"docker://{registry}/team/app"
    source = f"oci:{layout}:latest"
    sources = [f"oci:{layout}", f"docker-archive:{canary / 'saved.tar'}"]
    sources += [f"oci-archive:{canary / 'oci.tar'}"]

    def copy() -> None:
        for form in ("oci", "v2s2"):
            to = f"{name}:{form}"
            run("skopeo", "copy", "--dest-tls-verify=false", "--format", form, source, to)
            sources.append(to)
        zstd = ("--dest-compress-format", "zstd", "--dest-decompress=false")
        run("skopeo", "copy", *zstd, source, f"oci:{canary / 'zstd'}:1")
        run("skopeo", "copy", source, f"docker-archive:{canary / 'saved.tar'}:app:1")
        run("skopeo", "copy", source, f"oci-archive:{canary / 'oci.tar'}:1")

    await trio.to_thread.run_sync(copy)
    found = {source: (await service.convert(source, ignore)).flist for source in sources}

    assert len(found) == 5
    assert len(set(found.values())) == 1, found


async def test_an_image_of_a_private_registry_is_read_with_the_login_that_skopeo_kept(
    layout: Path,
    private_registry: str,
    service: FlistService,
    canary: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(canary))
    name = f"docker://{private_registry}/team/app:1"
    with pytest.raises(NotFound, match="docker login"):
        await service.convert(name, ignore)

    def push() -> None:
        file = f"--authfile={canary / 'config.json'}"
        login = ("--username=me", f"--password={PASSWORD}", "--tls-verify=false")
        run("skopeo", "login", file, *login, private_registry)
        run("skopeo", "copy", file, "--dest-tls-verify=false", f"oci:{layout}:latest", name)

    await trio.to_thread.run_sync(push)

    made = await service.convert(name, ignore)
    assert made.flist == (await service.convert(f"oci:{layout}", ignore)).flist


async def test_the_image_for_our_nodes_is_taken_from_an_index_that_skopeo_pushed(
    layout: Path, registry: str, service: FlistService, canary: Path
) -> None:
    other = write_layout(canary / "arm", [tar(member("arm"))], platform=("linux", "arm64"))
    several = merge_layouts(canary / "several", amd64=layout, arm64=other)
    name = f"docker://{registry}/team/several:1"
    await trio.to_thread.run_sync(
        lambda: run(
            "skopeo", "copy", "--all", "--dest-tls-verify=false", f"oci:{several}:all", name
        )
    )

    made = await service.convert(name, ignore)
    assert made.flist == (await service.convert(f"oci:{layout}", ignore)).flist
    assert made.flist == (await service.convert(f"oci:{several}", ignore)).flist


def merge_layouts(top: Path, **layouts: Path) -> Path:
    """One layout whose only image is an index of several, by architecture."""
    manifests = []
    for architecture, layout in layouts.items():
        shutil.copytree(layout, top, dirs_exist_ok=True)
        (found,) = json.loads((layout / "index.json").read_text())["manifests"]
        del found["annotations"]
        manifests.append({**found, "platform": {"os": "linux", "architecture": architecture}})
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
    data = json.dumps(index).encode()
    digest = hashlib.sha256(data).hexdigest()
    (top / "blobs" / "sha256" / digest).write_bytes(data)
    described = {
        "mediaType": OCI_INDEX,
        "digest": f"sha256:{digest}",
        "size": len(data),
        "annotations": {"org.opencontainers.image.ref.name": "all"},
    }
    (top / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    return top


@pytest.mark.root
async def test_the_tree_is_the_one_that_umoci_unpacks(
    layout: Path, service: FlistService, canary: Path
) -> None:
    made = await service.convert(f"oci:{layout}", ignore)
    image = await service.prepare(made.flist, (), ignore)
    bundle = canary / "bundle"
    await trio.to_thread.run_sync(
        lambda: run("umoci", "unpack", "--image", f"{layout}:latest", bundle)
    )

    ours = seen(image.root)
    del ours[".startup.toml"]
    assert ours == seen(bundle / "rootfs")


@pytest.mark.root
async def test_an_exported_flist_is_taken_by_skopeo_and_unpacked_by_umoci(
    layout: Path, service: FlistService, chunks: MemoryChunkStore, canary: Path
) -> None:
    made = await service.convert(f"oci:{layout}", ignore)
    found = await service.read(made.flist)
    ids = chunk_ids(found.root)
    blobs = dict(zip(ids, await chunks.get_many(ids), strict=True))

    def export() -> None:
        with (
            BlockReader(found.root, lambda asked: [blobs[one] for one in asked], quiet) as reader,
            (canary / "out.tar").open("wb") as file,
        ):
            write_oci_archive(file, found, "1", reader.plain_bytes)
        copied = f"oci:{canary / 'copied'}:1"
        run("skopeo", "copy", f"oci-archive:{canary / 'out.tar'}", copied)
        for name, image in (("before", f"{layout}:latest"), ("after", f"{canary / 'copied'}:1")):
            run("umoci", "unpack", "--image", image, canary / name)

    await trio.to_thread.run_sync(export)
    again = await service.convert(f"oci:{canary / 'copied'}:1", ignore)

    before, after = (seen(canary / name / "rootfs") for name in ("before", "after"))
    assert before == after
    assert again.flist == made.flist


@pytest.mark.slow
async def test_the_demo_image_is_made_alike_twice_and_runs(
    service: FlistService, canary: Path
) -> None:
    """Its packages come from the cache of the user, or from Debian the first time."""
    build = Path(__file__).parents[2] / "images" / "demo" / "build"
    for name in ("first", "second"):
        await trio.to_thread.run_sync(lambda to: run(sys.executable, build, to), canary / name)
    made = [await service.convert(f"oci:{canary / name}", ignore) for name in ("first", "second")]
    image = await service.prepare(made[0].flist, (), ignore)
    tree = await service.read(made[0].flist)

    assert made[0].flist == made[1].flist
    assert made[0].content_bytes < 30 << 20
    assert image.config.entrypoint[:2] == ("/bin/busybox", "httpd")
    assert image.config.user == "web"
    assert not (image.root / "etc" / "motd").exists()
    documentation = image.root / "usr" / "share" / "doc"
    assert [path.name for path in documentation.iterdir()] == ["README"]
    shell = image.root / "usr" / "bin" / "sh"
    said = await trio.run_process([shell, "-c", "echo it runs"], capture_stdout=True)
    assert said.stdout == b"it runs\n"
    assert sum(1 for _ in walk(tree.root)) == tree.entry_count
