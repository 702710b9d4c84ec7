"""The blocking half, where it decides; what it does is tried in `test_service`."""

from dataclasses import replace
from pathlib import Path

import pytest

from p2pgrid.errors import CannotRun
from p2pgrid.model.ids import NodeId
from p2pgrid.model.image import ImageConfig
from p2pgrid.model.workload import RestartPolicy
from p2pgrid.workload.firewall import Guest
from p2pgrid.workload.machine import Machine
from p2pgrid.workload.names import ContainerNames, NodeNames
from p2pgrid.workload.needs import PreparedImage
from p2pgrid.workload.progress import Progress, Stage, save_progress
from p2pgrid.workload.sandbox import Sandbox
from tests.workload.conftest import OTHER, RESERVATION, container

NODE = NodeNames(NodeId(b"machine-test" + bytes(20)))


def sandbox(machine: Machine) -> Sandbox:
    names = ContainerNames(NODE, RESERVATION, "web")
    return Sandbox(names, container("true"), machine.data(RESERVATION))


def test_a_tag_that_is_taken_is_refused_and_its_owner_left_alone(tmp_path: Path) -> None:
    machine = Machine(NODE, tmp_path)
    wanted = sandbox(machine)
    owner = Guest(ContainerNames(NODE, OTHER, "victim"))
    machine.guests[wanted.names.tag] = owner

    try:
        with pytest.raises(CannotRun, match="collides"):
            machine.bring_up(wanted, PreparedImage(tmp_path, ImageConfig()), {})
    finally:
        machine.remove(RESERVATION, [])

    assert machine.guests == {wanted.names.tag: owner}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("progress", "policy", "is_over"),
    [
        (Progress(), RestartPolicy.NEVER, False),
        (Progress(stage=Stage.ENDED, exit_code=1), RestartPolicy.NEVER, True),
        (Progress(stage=Stage.ENDED, exit_code=0), RestartPolicy.ON_FAILURE, True),
        (Progress(stage=Stage.ENDED, exit_code=1), RestartPolicy.ON_FAILURE, False),
        (Progress(stage=Stage.ENDED, exit_code=0), RestartPolicy.ALWAYS, False),
        (Progress(stage=Stage.STARTED, boot="earlier"), RestartPolicy.NEVER, False),
    ],
)
def test_what_is_over_stays_over(
    tmp_path: Path, progress: Progress, policy: RestartPolicy, is_over: bool
) -> None:
    machine = Machine(NODE, tmp_path)
    ended = sandbox(machine)
    ended = replace(ended, container=replace(ended.container, restart=policy))
    ended.data.mkdir()
    save_progress(ended.progress, progress)

    assert machine.is_over(ended) is is_over
    assert machine.container_names(RESERVATION) == {"web"}
