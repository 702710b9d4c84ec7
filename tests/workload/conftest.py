"""A tiny image of busybox, and a look at what a node left on the machine."""

import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import trio

from p2pgrid.model.ids import FlistId, NodeId, RecordId
from p2pgrid.model.image import ImageConfig
from p2pgrid.model.workload import Container
from p2pgrid.mounting import mounts_under
from p2pgrid.units import MIB
from p2pgrid.workload.cgroup import groups_below
from p2pgrid.workload.names import NodeNames
from p2pgrid.workload.needs import PreparedImage
from p2pgrid.workload.network import links_of
from p2pgrid.workload.sandbox import containers_found, remove_container, remove_node
from p2pgrid.workload.service import WorkloadService, open_workloads

FLIST = FlistId(bytes(32))
RESERVATION, OTHER = RecordId(b"\1" * 32), RecordId(b"\2" * 32)
TEST_SECONDS_MAX = 40.0


def container(command: str, **changes: object) -> Container:
    """A container that runs a line of shell."""
    plain = Container(
        name="web",
        flist=FLIST,
        millicores=1000,
        memory_bytes=64 * MIB,
        root_bytes=16 * MIB,
        command=("sh", "-c", command),
    )
    return replace(plain, **changes)  # type: ignore[arg-type] # fields by name


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of an image that has busybox and two accounts."""
    program = shutil.which("busybox")
    assert program is not None, "apt-get install busybox-static"
    root = tmp_path_factory.mktemp("busybox")
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "www"):
        (root / name).mkdir()
    root.chmod(0o755)
    (root / "tmp").chmod(0o1777)
    shutil.copy(program, root / "bin/busybox")
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    for applet in set(listed.stdout.split()) - {"busybox"}:
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nweb:x:33:33::/www:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nweb:x:33:\nlogs:x:40:web\n")
    (root / "www/index.html").write_text("hello grid\n")
    (root / "www").chmod(0o755)
    return root


@dataclass
class LocalImages:
    """Knows one image."""

    root: Path
    config: ImageConfig = field(default_factory=ImageConfig)

    async def prepare(self, flist: FlistId) -> PreparedImage:
        await trio.lowlevel.checkpoint()
        return PreparedImage(self.root, self.config)


@dataclass
class Machine:
    """A node of its own for one test."""

    names: NodeNames
    directory: Path
    images: LocalImages

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[WorkloadService, None]:
        with trio.fail_after(TEST_SECONDS_MAX):
            async with open_workloads(self.directory, self.images, self.names.node) as service:
                assert service.missing() is None
                yield service

    def traces(self) -> list[str]:
        """Everything on the machine that belongs to this node."""
        listed = subprocess.run(
            ["nft", "list", "tables"], capture_output=True, text=True, check=True
        )
        return sorted(
            [
                *(f"container {tag}" for tag in containers_found(self.names)),
                *(f"mount {path}" for path in mounts_under(self.names.directory)),
                *(f"link {tag}" for tag in links_of(self.names)),
                *(f"cgroup {name}" for name in groups_below(self.names.cgroup)),
                *(f"loop {file}" for file in loops_of(self.directory)),
                *(f"process {pid}" for pid in processes_of(self.names)),
                *(f"file {path}" for path in self.directory.rglob("*")),
                *(f"bridge {p}" for p in Path("/sys/class/net").glob(self.names.bridge)),
                *(line for line in listed.stdout.splitlines() if self.names.table in line),
                *(f"run {path}" for path in self.names.directory.rglob("*")),
            ]
        )

    def clean(self) -> None:
        """Also after a test that failed."""
        for tag in containers_found(self.names):
            remove_container(self.names, tag)
        remove_node(self.names)
        reap_orphans()


def reap_orphans() -> None:
    """Let go of what a killed program left to us.

    A service that was open in this process has made it the parent of orphans; elsewhere that
    would be the machine's first process.
    """
    for file in Path("/proc/self/task").glob("*/children"):
        for pid in file.read_text().split():
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                os.waitid(os.P_PID, int(pid), os.WEXITED | os.WNOHANG)


def loops_of(directory: Path) -> list[str]:
    """Files in `directory` that a loop device has open."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            file = backing.read_text().strip()
        except OSError:
            continue  # freed in between
        if file.startswith(str(directory)):
            found.append(file)
    return found


def processes_of(names: NodeNames) -> list[str]:
    """Processes of runc and its containers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(names.directory).encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue  # ended in between
    return found


@pytest.fixture
def machine(tmp_path: Path, busybox: Path) -> Iterator[Machine]:
    """Whatever the test does, nothing is left."""
    assert os.geteuid() == 0, "run this test as root"
    names = NodeNames(NodeId(secrets.token_bytes(32)))
    machine = Machine(names, tmp_path / "workloads", LocalImages(busybox))
    try:
        yield machine
    finally:
        machine.clean()
