"""Images that other tools made and moved give the tree that other tools unpack."""

import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from p2pgrid.flist.service import FlistService, Progress
from p2pgrid.flist.tree import walk
from tests.flist.archives import device, directory, hard_link, member, symlink, tar, write_layout

TOOLS = ("skopeo", "umoci", "docker-registry")
REGISTRY_SECONDS_MAX = 20.0


def ignore(progress: Progress) -> None:
    """For conversions whose progress is of no interest."""


def run(*command: str | Path) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command[0]}: {done.stderr}"


@pytest.fixture(scope="module")
def tools() -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.fail(f"{', '.join(missing)} missing; run scripts/setup, or apt-get install them")


@pytest.fixture(scope="module")
def registry(tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's docker-registry on loopback."""
    top = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    (top / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {top}}}}}\n"
        f"http: {{addr: '{host}'}}\nlog: {{level: error}}\n"
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


def seen(top: Path) -> dict[str, tuple[object, ...]]:
    """Everything about every file that a container can see."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [top, *top.rglob("*")]:
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        content: object = None
        if path.is_symlink():
            content = path.readlink()
        elif path.is_file():
            content = path.read_bytes()
        name = str(path.relative_to(top))
        owner = (status.st_uid, status.st_gid)
        found[name] = (kind, status.st_mode, owner, status.st_rdev, content)
        if kind != stat.S_IFDIR:
            found[name] += (int(status.st_mtime),)
    return found


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
