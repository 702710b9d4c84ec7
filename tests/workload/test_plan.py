"""What runc is told follows from what was paid for, and never gives more."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadImage
from p2pgrid.model.ids import FlistId
from p2pgrid.model.image import ImageConfig
from p2pgrid.model.workload import Container
from p2pgrid.units import GIB, MIB
from p2pgrid.workload.accounts import Identity
from p2pgrid.workload.plan import (
    CPU_PERIOD_MICROSECONDS,
    Surroundings,
    command_line,
    environment,
    hosts_file,
    runtime_config,
)

WEB = Container(
    name="web", flist=FlistId(bytes(32)), millicores=1500, memory_bytes=256 * MIB, root_bytes=GIB
)
NGINX = ImageConfig(
    entrypoint=("/entry",),
    command=("nginx", "-g"),
    env=(("PATH", "/opt"), ("VERSION", "1")),
    working_directory="srv",
    stop_signal="SIGQUIT",
)
ROOT, NOBODY = Identity(uid=0, gid=0), Identity(uid=65534, gid=65534)
SURROUNDINGS = Surroundings(
    root=Path("/run/p2pgrid/a/b/root"),
    user_namespace=Path("/run/p2pgrid/a/b/user"),
    network_namespace=Path("/run/p2pgrid/a/b/net"),
    hosts_file=Path("/run/p2pgrid/a/b/hosts"),
    cgroup="/p2pgrid/a/b",
    host_id_first=1 << 30,
)

containers = st.builds(
    Container,
    name=st.from_regex(r"[a-z0-9]{1,36}", fullmatch=True),
    flist=st.just(WEB.flist),
    millicores=st.integers(10, 1_024_000),
    memory_bytes=st.integers(8 * MIB, 1 << 45),
    root_bytes=st.integers(MIB, 1 << 50),
    command=st.lists(st.text("abc -/", min_size=1), min_size=1, max_size=4).map(tuple),
    read_only=st.booleans(),
)


def plan(container: Container = WEB, identity: Identity = ROOT) -> dict[str, Any]:
    return runtime_config(container, NGINX, identity, SURROUNDINGS, {"defaultAction": "none"})


@given(containers, st.sampled_from([ROOT, NOBODY]))
def test_limits_are_those_that_were_paid_for(container: Container, identity: Identity) -> None:
    document = plan(container, identity)
    resources = document["linux"]["resources"]

    assert resources["memory"] == {
        "limit": container.memory_bytes,
        "swap": container.memory_bytes,
    }
    cpu = resources["cpu"]
    assert cpu["quota"] * 1000 == container.millicores * CPU_PERIOD_MICROSECONDS
    assert 2 <= cpu["shares"] <= 262_144
    assert resources["devices"] == [{"allow": False, "access": "rwm"}]
    assert resources["pids"]["limit"] > 0
    assert document["root"]["readonly"] is container.read_only


@given(containers, st.sampled_from([ROOT, NOBODY]))
def test_nothing_of_the_machine_is_shared(container: Container, identity: Identity) -> None:
    document = plan(container, identity)
    linux, process = document["linux"], document["process"]
    own = {"pid", "ipc", "uts", "mount", "cgroup", "user", "network"}

    assert {namespace["type"] for namespace in linux["namespaces"]} == own
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": 1 << 30, "size": 65536}]
    assert linux["gidMappings"] == linux["uidMappings"]
    assert linux["seccomp"] == {"defaultAction": "none"}
    assert process["noNewPrivileges"] is True
    assert not {"CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_MODULE"} & set(
        process["capabilities"]["bounding"]
    )
    assert "/proc/kcore" in linux["maskedPaths"]
    assert "/proc/sys" in linux["readonlyPaths"]
    assert [m["source"] for m in binds(document)] == [str(SURROUNDINGS.hosts_file)]


def binds(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The mounts through which the machine's own files are seen."""
    return (mount for mount in document["mounts"] if "bind" in mount["options"])


def test_only_root_starts_with_capabilities() -> None:
    root, nobody = (plan(identity=i)["process"]["capabilities"] for i in (ROOT, NOBODY))

    assert len(root["effective"]) == 14
    assert nobody["effective"] == nobody["permitted"] == []


def test_file_systems_in_memory_are_limited() -> None:
    mounts = [mount for mount in plan()["mounts"] if mount["type"] == "tmpfs"]

    assert {mount["destination"] for mount in mounts} == {"/dev", "/dev/shm"}
    assert all(any(o.startswith("size=") for o in mount["options"]) for mount in mounts)


@given(containers)
def test_no_limit_of_processes_is_raised_above_its_disk(container: Container) -> None:
    limits = {limit["type"]: limit for limit in plan(container)["process"]["rlimits"]}

    assert set(limits) == {"RLIMIT_CORE", "RLIMIT_FSIZE"}
    assert limits["RLIMIT_CORE"]["hard"] == 0
    assert limits["RLIMIT_FSIZE"]["hard"] == max(container.root_bytes, 64 * MIB)


def test_the_consumer_s_command_replaces_all_of_the_image_s() -> None:
    assert command_line(WEB, NGINX) == ["/entry", "nginx", "-g"]
    assert command_line(replace(WEB, command=("sh", "-c", "x")), NGINX) == ["sh", "-c", "x"]
    with pytest.raises(BadImage, match="give a command"):
        command_line(WEB, ImageConfig())


def test_the_consumer_s_variables_win() -> None:
    lines = environment(replace(WEB, env=(("VERSION", "2"),)), NGINX, "/root")

    assert lines == ["PATH=/opt", "HOME=/root", "HOSTNAME=web", "VERSION=2"]


def test_paths_and_signals_of_the_image_are_kept() -> None:
    document = plan()

    assert document["process"]["cwd"] == "/srv"
    assert "SIGQUIT" in document["annotations"].values()


def test_containers_of_a_reservation_find_each_other_by_name() -> None:
    lines = hosts_file({"web": IPv6Address("fd00::2"), "db": IPv6Address("fd00::3")}).splitlines()

    assert lines[2:] == ["fd00::2 web", "fd00::3 db"]
