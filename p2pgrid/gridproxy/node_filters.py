"""Which nodes are wanted: every filter that gridproxy has for nodes, as a mask over all rows.

Where this grid has no such thing (rent contracts, dedicated and certified nodes), the filter says
what is true of every node. What nobody can tell is refused by its name.
"""

from collections.abc import Callable, Mapping

import numpy as np

from p2pgrid.explorer.selection import Bools
from p2pgrid.gridproxy.features import FEATURE_OF
from p2pgrid.gridproxy.gpus import GpuLines
from p2pgrid.gridproxy.node_columns import STATUS_NAMES, NodeRows
from p2pgrid.gridproxy.parameters import Value
from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.node import Feature

NodeFilterBy = Callable[[NodeRows, Value], Bools]

MILLI = 1000
_CORES_MAX = INTEGER_MAX // MILLI


def _free(resource: str) -> NodeFilterBy:
    return lambda nodes, value: nodes.rows.free(resource) >= value.whole()


def _total(resource: str) -> NodeFilterBy:
    return lambda nodes, value: nodes.rows.ints(f"total_{resource}") >= value.whole()


def _total_cores(nodes: NodeRows, value: Value) -> Bools:
    least = value.whole(most=_CORES_MAX) * MILLI
    found: Bools = nodes.rows.ints("total_millicores") >= least
    return found


def _always(fact: bool) -> NodeFilterBy:  # noqa: FBT001 - the fact itself
    """What is equally true of all nodes."""
    return lambda nodes, value: nodes.all() & (value.flag() is fact)


def _fact(column: Callable[[NodeRows], Bools]) -> NodeFilterBy:
    return lambda nodes, value: column(nodes) == value.flag()


def _place(column: str) -> NodeFilterBy:
    def placed(nodes: NodeRows, value: Value) -> Bools:
        return nodes.placed(column, value.text().casefold().__eq__)

    return placed


def _place_contains(column: str) -> NodeFilterBy:
    def placed(nodes: NodeRows, value: Value) -> Bools:
        part = value.text().casefold()
        return nodes.placed(column, lambda text: part in text)

    return placed


def _farm_name(nodes: NodeRows, value: Value) -> Bools:
    return nodes.of_farms(nodes.farms_titled(value.text().casefold().__eq__))


def _farm_name_contains(nodes: NodeRows, value: Value) -> Bools:
    part = value.text().casefold()
    return nodes.of_farms(nodes.farms_titled(lambda title: part in title))


def _nobody(nodes: NodeRows, value: Value) -> Bools:
    """Nodes rented by a twin: none are."""
    value.named()
    return ~nodes.all()


def _everybody(nodes: NodeRows, value: Value) -> Bools:
    """Nodes that a twin may use: none is kept for another."""
    value.named()
    return nodes.all()


def _status(nodes: NodeRows, value: Value) -> Bools:
    wanted = [int(STATUS_NAMES[one]) for one in value.choices(STATUS_NAMES)]
    return np.isin(nodes.rows.presence(), wanted)


def _certification(nodes: NodeRows, value: Value) -> Bools:
    return nodes.all() & (value.choice(("Diy", "Certified")) == "Diy")


def _gpu(said: Callable[[GpuLines], str], *, is_part: bool) -> NodeFilterBy:
    def with_gpu(nodes: NodeRows, value: Value) -> Bools:
        wanted = value.text().casefold()
        sought = wanted if is_part else f"\n{wanted}\n"
        return nodes.with_gpu(lambda gpus: sought in said(gpus))

    return with_gpu


def _features(nodes: NodeRows, value: Value) -> Bools:
    wanted = [FEATURE_OF[one] for one in value.choices(FEATURE_OF)]
    known = [one for one in wanted if one is not None]
    return nodes.offers(*known) & (len(known) == len(wanted))


def _price(nodes: NodeRows, value: Value) -> Bools:
    limit, price = value.decimal(), nodes.price_usd()
    return price >= limit if value.name == "price_min" else price <= limit


NODE_FILTERS: Mapping[str, NodeFilterBy] = {
    "status": _status,
    "free_mru": _free("memory_bytes"),
    "free_sru": _free("ssd_bytes"),
    "free_hru": _free("hdd_bytes"),
    "total_mru": _total("memory_bytes"),
    "total_sru": _total("ssd_bytes"),
    "total_hru": _total("hdd_bytes"),
    "total_cru": _total_cores,
    "country": _place("country"),
    "country_contains": _place_contains("country"),
    "city": _place("city"),
    "city_contains": _place_contains("city"),
    "farm_name": _farm_name,
    "farm_name_contains": _farm_name_contains,
    "farm_ids": lambda nodes, value: nodes.of_farms(nodes.farms_named(*value.all_named())),
    "free_ips": lambda nodes, value: nodes.farm_ranges() >= value.whole(),
    "ipv4": _fact(lambda nodes: nodes.rows.bools("has_public_ipv4")),
    "ipv6": _fact(lambda nodes: nodes.rows.bools("has_public_ipv6")),
    "has_ipv6": _fact(lambda nodes: nodes.rows.bools("has_ipv6")),
    "domain": _fact(lambda nodes: nodes.offers(Feature.GATEWAY)),
    "dedicated": _always(fact=False),
    "in_dedicated_farm": _always(fact=False),
    "rentable": _always(fact=False),
    "rented": _always(fact=False),
    "rented_by": _nobody,
    "rentable_or_rented_by": _nobody,
    "available_for": _everybody,
    "owned_by": lambda nodes, value: nodes.of_farms(nodes.farms_named(value.named())),
    "node_id": lambda nodes, value: nodes.named(value.named()),
    "node_ids": lambda nodes, value: nodes.named(*value.all_named()),
    "twin_id": lambda nodes, value: nodes.named(value.named()),
    "excluded": lambda nodes, value: ~nodes.named(*value.all_named()),
    "certification_type": _certification,
    "has_gpu": _fact(lambda nodes: nodes.rows.ints("total_gpus") > 0),
    "num_gpu": lambda nodes, value: nodes.rows.ints("total_gpus") >= value.whole(),
    "gpu_device_id": _gpu(lambda gpu: gpu.device_id, is_part=False),
    "gpu_device_name": _gpu(lambda gpu: gpu.device, is_part=True),
    "gpu_vendor_id": _gpu(lambda gpu: gpu.vendor_id, is_part=False),
    "gpu_vendor_name": _gpu(lambda gpu: gpu.vendor, is_part=True),
    "gpu_available": _fact(lambda nodes: nodes.rows.free("gpus") > 0),
    "healthy": _fact(
        lambda nodes: (nodes.rows.ints("features") != 0) & ~nodes.rows.is_contradicted()
    ),
    "price_min": _price,
    "price_max": _price,
    "features": _features,
}

NODE_REFUSED: Mapping[str, str] = {
    "region": "nodes say in which country and city they stand, not in which region",
    "balance": "prices here know no discount for what an account holds",
}
"""What gridproxy knows and nobody here can tell."""
