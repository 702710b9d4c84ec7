"""Features have the names that clients of gridproxy know, and each name means one of them."""

from p2pgrid.gridproxy.features import FEATURE_OF, NAMES_OF, names_of
from p2pgrid.model.node import Feature

KNOWN_TO_CLIENTS = (
    "zmount", "network", "zdb", "zmachine", "volume", "ipv4", "ip", "gateway-name-proxy",
    "gateway-fqdn-proxy", "qsfs", "zlogs", "yggdrasil", "mycelium", "wireguard",
    "zmachine-light", "network-light",
)  # fmt: skip


def test_every_feature_has_a_name_and_back() -> None:
    assert set(NAMES_OF) == set(Feature)
    for feature, names in NAMES_OF.items():
        assert names
        assert {FEATURE_OF[name] for name in names} == {feature}


def test_every_name_that_clients_know_may_be_asked_for() -> None:
    assert set(KNOWN_TO_CLIENTS) <= set(FEATURE_OF)
    assert FEATURE_OF["qsfs"] is None


def test_a_node_says_all_names_of_what_it_offers() -> None:
    assert names_of((Feature.ZDB, Feature.GATEWAY)) == [
        "zdb", "gateway-name-proxy", "gateway-fqdn-proxy",
    ]  # fmt: skip
