"""Names differ where their owners do, and fit where they are used."""

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.model.ids import NodeId, RecordId
from p2pgrid.workload.names import HOST_ID_FIRST, ContainerNames, NodeNames

ids = st.binary(min_size=32, max_size=32)
workload_names = st.from_regex(r"[a-z0-9-]{1,36}", fullmatch=True)
LINK_CHARACTERS_MAX = 15


@given(ids, ids, workload_names)
def test_names_fit(node: bytes, reservation: bytes, name: str) -> None:
    owner = NodeNames(NodeId(node))
    names = ContainerNames(owner, RecordId(reservation), name)

    assert len(owner.bridge) <= LINK_CHARACTERS_MAX
    assert len(names.link) <= LINK_CHARACTERS_MAX
    assert owner.container_of_link(names.link) == names.tag
    assert owner.container_of_link(owner.bridge) is None
    assert names.address in owner.network
    assert names.address != owner.gateway
    assert owner.network.is_private
    assert names.directory.parent == owner.directory
    assert HOST_ID_FIRST <= names.host_id_first < 2**31
    assert names.host_id_first % 65536 == 0
    assert int(names.hardware_address[:2], 16) & 3 == 2  # local, and of one station


@given(st.tuples(ids, ids, workload_names), st.tuples(ids, ids, workload_names))
def test_different_containers_have_different_names(
    one: tuple[bytes, bytes, str], other: tuple[bytes, bytes, str]
) -> None:
    first, second = (
        ContainerNames(NodeNames(NodeId(node)), RecordId(reservation), name)
        for node, reservation, name in (one, other)
    )

    assert (one == other) == (first.address == second.address)
    if first.owner.tag == second.owner.tag and first.tag != second.tag:
        assert first.hardware_address != second.hardware_address
        assert first.link != second.link


def test_a_foreign_link_belongs_to_no_container() -> None:
    names = NodeNames(NodeId(bytes(32)))

    assert names.container_of_link("eth0") is None
    assert names.container_of_link("g000000") is None
