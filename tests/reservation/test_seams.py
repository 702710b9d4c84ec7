"""The services that node.py plugs in fit what reservations ask for; mypy checks the signatures."""

from inspect import iscoroutinefunction

import pytest

from p2pgrid.ledger.remote import RemoteLedger
from p2pgrid.ledger.service import LedgerService
from p2pgrid.ledger.state import Escrow
from p2pgrid.reservation.seams import ContainerExit, EscrowView, HostLedger, Workloads
from p2pgrid.workload.service import Exited, WorkloadService
from tests.reservation.fake_ledger import LedgerAccess
from tests.reservation.samples import NODE
from tests.reservation.world import World


def ledger(service: LedgerService | RemoteLedger) -> HostLedger:
    """Accepted by mypy only while both fit."""
    return service


def escrow(escrow: Escrow) -> EscrowView:
    return escrow


def workloads(service: WorkloadService) -> Workloads:
    return service


def container_exit(exited: Exited) -> ContainerExit:
    return exited


@pytest.mark.parametrize("service", [LedgerService, RemoteLedger, LedgerAccess])
@pytest.mark.parametrize("method", ["spend", "account", "escrow", "find_escrow"])
def test_every_ledger_is_asked_alike(service: type, method: str) -> None:
    assert iscoroutinefunction(getattr(service, method))


def test_parts_know_whose_they_are() -> None:
    assert World().host_parts().node == NODE
