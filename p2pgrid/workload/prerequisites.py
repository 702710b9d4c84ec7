"""Why this machine cannot run containers, if it cannot: said before anybody pays for one."""

import json
import os
import shutil
from pathlib import Path

from p2pgrid.errors import CannotRun
from p2pgrid.workload import firewall
from p2pgrid.workload.cgroup import CGROUP_ROOT
from p2pgrid.workload.mounts import bind_idmapped
from p2pgrid.workload.names import HOST_ID_FIRST, NodeNames
from p2pgrid.workload.namespaces import pin_namespaces
from p2pgrid.workload.sandbox import make_run_directories, remove_container
from p2pgrid.workload.tool import PATHS, run_tool

_PACKAGES = {
    "runc": "runc",
    "nft": "nftables",
    "mkfs.ext4": "e2fsprogs",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
_CONTROLLERS = ("cpu", "memory", "pids")
_PROBE = "probe"


def missing(node: NodeNames, directory: Path) -> str | None:
    """What keeps us from running containers with their data in `directory`; None if nothing.

    Tries what can be tried: a kernel that has a feature may still be told not to allow it.
    """
    return _missing_rights() or _missing_tools() or _missing_kernel() or _untried(node, directory)


def _missing_rights() -> str | None:
    if os.geteuid() != 0:
        return (
            "containers need root: run the node as root; without it the node still stores, "
            "gossips and votes, and serves images, but takes no reservations"
        )
    return None


def _missing_tools() -> str | None:
    absent = [tool for tool in _PACKAGES if shutil.which(tool, path=PATHS["PATH"]) is None]
    if absent:
        packages = " ".join(sorted({_PACKAGES[tool] for tool in absent}))
        return f"{', '.join(absent)} not found: apt-get install {packages}"
    return None


def _missing_kernel() -> str | None:
    if "\toverlay\n" not in Path("/proc/filesystems").read_text():
        return "the kernel has no overlay file system: modprobe overlay"
    if not Path("/dev/loop-control").exists():
        return "the kernel has no loop devices: modprobe loop"
    if not Path("/proc/sys/net/ipv6").exists():
        return "the kernel has no IPv6"
    if Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").read_text().strip() != "0":
        return "IPv6 is switched off: sysctl -w net.ipv6.conf.default.disable_ipv6=0"
    absent = set(_CONTROLLERS) - _controllers()
    if absent:
        return f"control groups lack {', '.join(sorted(absent))}: see cgroups(7)"
    return None


def _controllers() -> set[str]:
    listed = CGROUP_ROOT / "cgroup.controllers"
    if listed.exists():
        return set(listed.read_text().split())
    return {name for path in CGROUP_ROOT.glob("*") for name in path.name.split(",")}


def _untried(node: NodeNames, directory: Path) -> str | None:
    rules = json.dumps(firewall.ruleset(node, [], []))
    try:
        run_tool("nft", "--check", "-j", "-f", "-", stdin=rules.encode())
    except CannotRun as error:
        return f"the kernel can not filter bridges by nftables: {error}"
    try:
        _try_shifting(node, directory)
    except (CannotRun, OSError) as error:
        return (
            f"owners of files in {directory} can not be shifted into a user namespace: {error}; "
            "this needs ext4, xfs or btrfs and Linux 5.19"
        )
    return None


def _try_shifting(node: NodeNames, directory: Path) -> None:
    make_run_directories(node)
    remove_container(node, _PROBE)
    probe = node.directory / _PROBE
    try:
        image = probe / "image"
        image.mkdir(parents=True)
        pin_namespaces(probe / "user", probe / "net", HOST_ID_FIRST)
        bind_idmapped(directory, image, probe / "user")
    finally:
        remove_container(node, _PROBE)
