"""Namespaces that live without a process."""

from pathlib import Path

import pytest

from p2pgrid.mounting import mounts_under, unmount_all
from p2pgrid.workload.names import HOST_ID_FIRST
from p2pgrid.workload.namespaces import call_in_network, pin_namespaces

SEEN = Path("/proc/thread-self/net/dev_snmp6")
pytestmark = pytest.mark.root


def own_network() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def test_a_call_is_made_inside_and_leaves_the_caller_outside(tmp_path: Path) -> None:
    user, net = tmp_path / "user", tmp_path / "net"
    outside = own_network()
    try:
        pin_namespaces(user, net, HOST_ID_FIRST)
        inside = call_in_network(net, own_network)
        links = call_in_network(net, lambda: list(SEEN.iterdir()))

        assert inside == net.stat().st_ino != outside
        assert own_network() == outside
        assert [link.name for link in links] == ["lo"]
        with pytest.raises(ZeroDivisionError):
            call_in_network(net, lambda: 1 // 0)
    finally:
        unmount_all(tmp_path)
    assert mounts_under(tmp_path) == []
