"""What a sandbox reads from an image, and the system calls that it allows."""

import os
from pathlib import Path
from typing import Any

import pytest

from p2pgrid.limits import workload as limits
from p2pgrid.workload.sandbox import read_inside, seccomp_profile


def test_a_plain_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_bytes(b"root\xff" * 10)
    monkeypatch.setattr(limits, "PASSWD_BYTES_MAX", 7)

    assert read_inside(tmp_path, "etc", "passwd") == "root\ufffdro"
    assert read_inside(tmp_path, "etc", "group") == ""


@pytest.mark.parametrize("hostile", ["link", "linked directory", "pipe", "directory"])
def test_nothing_else_is_read(tmp_path: Path, hostile: str) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "passwd").write_text("secret")
    if hostile == "linked directory":
        (root / "etc").symlink_to(outside)
    else:
        (root / "etc").mkdir()
    if hostile == "link":
        (root / "etc/passwd").symlink_to(outside / "passwd")
    if hostile == "pipe":
        os.mkfifo(root / "etc/passwd")
    if hostile == "directory":
        (root / "etc/passwd").mkdir()

    assert read_inside(root, "etc", "passwd") == ""


def test_system_calls_that_change_the_machine_are_not_allowed() -> None:
    profile: dict[str, Any] = seccomp_profile()
    unconditional = {
        name
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule
        for name in rule["names"]
    }
    dangerous = {
        "mount", "umount2", "unshare", "setns", "pivot_root", "bpf", "ptrace", "keyctl",
        "add_key", "init_module", "finit_module", "kexec_load", "reboot", "swapon",
        "io_uring_setup",
        "open_by_handle_at", "perf_event_open", "userfaultfd", "clone", "clone3", "socket",
        "settimeofday", "clock_settime", "process_vm_writev", "pidfd_getfd", "move_mount", "fsopen",
    }  # fmt: skip

    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert not dangerous & unconditional
    assert {"read", "openat", "execve", "futex", "epoll_wait", "statx"} <= unconditional
    assert "comment" not in profile
    assert not any("comment" in rule for rule in profile["syscalls"])
