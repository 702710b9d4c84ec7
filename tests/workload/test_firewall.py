"""The rules, as a document; `test_network` tries them on packets."""

import json
from collections.abc import Iterator
from ipaddress import IPv6Network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.model.ids import NodeId, RecordId
from p2pgrid.workload.firewall import NEVER_OUTSIDE, Guest, no_ruleset, ruleset
from p2pgrid.workload.names import ContainerNames, NodeNames

NODE = NodeNames(NodeId(b"n" * 32))
guest_lists = st.lists(
    st.builds(
        lambda reservation, name: Guest(
            ContainerNames(NODE, RecordId(bytes([reservation]) * 32), name)
        ),
        st.integers(0, 3),
        st.sampled_from("abcd"),
    ),
    unique=True,
    max_size=8,
)
networks = st.lists(
    st.builds(
        lambda address, length: IPv6Network((address, length), strict=False),
        st.integers(0, 2**128 - 1),
        st.integers(0, 128),
    ),
    max_size=8,
)


def added(document: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    return (c["add"][kind] for c in document["nftables"] if kind in c.get("add", {}))


@given(guest_lists)
def test_pairs_are_those_of_one_reservation(guests: list[Guest]) -> None:
    sets = {s["name"]: s.get("elem", []) for s in added(ruleset(NODE, guests, []), "set")}
    reservation_of = {guest.names.link: guest.reservation for guest in guests}
    pairs = [element["concat"] for element in sets["pairs"]]
    expected = sum(
        one != other and one.reservation == other.reservation for one in guests for other in guests
    )

    assert len(sets["senders"]) == len(guests)
    assert len(pairs) == expected
    assert all(reservation_of[one] == reservation_of[other] for one, other in pairs)


@given(networks)
def test_forbidden_networks_never_overlap_and_cover_all_given(on_link: list[IPv6Network]) -> None:
    """The kernel refuses a set that names an address twice."""
    document = ruleset(NODE, [], on_link)
    prefixes = [
        IPv6Network((p["prefix"]["addr"], p["prefix"]["len"]))
        for rule in added(document, "rule")
        for match in rule["expr"]
        if isinstance(match.get("match", {}).get("right"), dict)
        for p in match["match"]["right"].get("set", [])
        if isinstance(p, dict)
    ]

    assert not any(a != b and a.overlaps(b) for a in prefixes for b in prefixes)
    assert len(prefixes) == len(set(prefixes))
    for network in (*NEVER_OUTSIDE, *on_link):
        assert any(network.subnet_of(prefix) for prefix in prefixes)


def test_every_base_chain_of_a_hook_ends_in_a_drop_for_guests() -> None:
    document = ruleset(NODE, [], [])
    last = {rule["chain"]: rule["expr"][-1] for rule in added(document, "rule")}

    assert {chain: list(verdict) for chain, verdict in last.items()} == {
        "arriving": ["drop"],
        "passing": ["drop"],
        "input": ["drop"],
        "forward": ["drop"],
        "leaving": ["masquerade"],
    }


def test_documents_are_json_and_removing_is_repeatable() -> None:
    commands = json.loads(json.dumps(no_ruleset(NODE)))["nftables"]

    assert [next(iter(command)) for command in commands] == ["add", "delete"] * 2
