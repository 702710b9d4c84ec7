"""A node as gridproxy shows it; what nobody here knows is null.

Resources are whole cores and bytes. What is used is all that is not free, the node's own share
included, and rounded up to whole cores: so `total - used` is never more than there is.
"""

from dataclasses import dataclass

from p2pgrid.explorer.query import NodeView, Presence, reachable_hosts
from p2pgrid.gridproxy.answers import Json
from p2pgrid.gridproxy.features import names_of
from p2pgrid.gridproxy.gpus import read_gpu
from p2pgrid.gridproxy.numbers import number_of
from p2pgrid.limits.gridproxy import GPUS_OF_A_ROW_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.node import (
    LATITUDE_SPAN_MICRODEGREES,
    LONGITUDE_SPAN_MICRODEGREES,
    Location,
)
from p2pgrid.units import SECOND_MS, TimestampMs

_MILLI = 1000
_MICRO = 1_000_000
_POWER = {Presence.UP: "Up", Presence.STANDBY: "Down", Presence.DOWN: ""}


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node, and what follows from columns."""

    view: NodeView
    price_usd: float
    farm_ranges: int
    """Address ranges of its farm."""
    heard_ms: TimestampMs
    """When it last said something."""


def node_document(facts: NodeFacts) -> dict[str, Json]:
    """A row of `/nodes`."""
    shown = gpu_documents(facts, most=GPUS_OF_A_ROW_MAX)
    return {**_plain(facts), **_resources(facts.view), "gpus": shown}


def nested_document(facts: NodeFacts) -> dict[str, Json]:
    """What `/nodes/{id}` says: resources are a level deeper, for older clients."""
    resources = _resources(facts.view)
    return {**_plain(facts), "capacity": resources, "gpus": gpu_documents(facts)}


def status_document(node: NodeView) -> dict[str, Json]:
    """What `/nodes/{id}/status` says."""
    return {"status": node.status.name.lower()}


def statistics_document(node: NodeView) -> dict[str, Json]:
    """What `/nodes/{id}/statistics` says, from the node's signed records."""
    return {
        "total": {**_capacity(node.total), "ipv4u": 0},
        "used": {**_capacity(_used(node)), "ipv4u": 0},
        "system": {**_capacity(node.system), "ipv4u": 0},
        "users": {
            "deployments": node.reservations,
            "workloads": node.reservations,
            "last_deployment_timestamp": None,
        },
    }


def gpu_documents(facts: NodeFacts, *, most: int | None = None) -> list[dict[str, Json]]:
    """What `/nodes/{id}/gpu` says; only of the first ones when there is a limit."""
    return [
        {
            "id": gpu.identity,
            "vendor": gpu.vendor,
            "device": gpu.device,
            "contract": 0,
            "updated_at": facts.heard_ms // SECOND_MS,
        }
        for gpu in map(read_gpu, facts.view.hardware.gpus[:most])
    ]


def _plain(facts: NodeFacts) -> dict[str, Json]:
    node = facts.view
    number, place = number_of(node.node), node.location
    country, city = (place.country, place.city) if place else ("", "")
    power = _POWER[node.status]
    return {
        "id": node.node.hex(),
        "nodeId": number,
        "farmId": number_of(node.farm) if node.is_confirmed else 0,
        "farmName": node.farm_name if node.is_confirmed else "",
        "twinId": number,
        "country": country,
        "gridVersion": 0,
        "city": city,
        "uptime": node.uptime_ms // SECOND_MS,
        "created": None,
        "farmingPolicyId": 1,
        "updatedAt": facts.heard_ms // SECOND_MS,
        "location": _location(place),
        "publicConfig": _public_config(node),
        "status": node.status.name.lower(),
        "certificationType": "Diy",
        "dedicated": False,
        "inDedicatedFarm": False,
        "rentContractId": 0,
        "rented": False,
        "rentable": False,
        "rentedByTwinId": 0,
        "serialNumber": "",
        "power": {"state": power, "target": power},
        "num_gpu": node.total.gpus,
        "extraFee": 0,
        "healthy": bool(node.features) and not (node.is_contradicted or node.is_farm_contradicted),
        "dmi": _dmi(node),
        "speed": {"upload": None, "download": None},
        "price_usd": facts.price_usd,
        "farm_free_ips": facts.farm_ranges,
        "features": names_of(node.features),
    }


def _resources(node: NodeView) -> dict[str, Json]:
    return {
        "total_resources": _capacity(node.total),
        "used_resources": _capacity(_used(node)),
    }


def _used(node: NodeView) -> Capacity:
    used = node.total.less(node.free)
    whole_cores = -(-used.millicores // _MILLI) * _MILLI
    return Capacity(
        millicores=min(whole_cores, node.total.millicores),
        memory_bytes=used.memory_bytes,
        ssd_bytes=used.ssd_bytes,
        hdd_bytes=used.hdd_bytes,
    )


def _capacity(capacity: Capacity) -> dict[str, int]:
    return {
        "cru": capacity.millicores // _MILLI,
        "sru": capacity.ssd_bytes,
        "hru": capacity.hdd_bytes,
        "mru": capacity.memory_bytes,
    }


def _location(place: Location | None) -> dict[str, Json]:
    if place is None:
        return {"country": "", "city": "", "longitude": None, "latitude": None}
    north = place.latitude_microdegrees - LATITUDE_SPAN_MICRODEGREES // 2
    east = place.longitude_microdegrees - LONGITUDE_SPAN_MICRODEGREES // 2
    return {
        "country": place.country,
        "city": place.city,
        "longitude": east / _MICRO,
        "latitude": north / _MICRO,
    }


def _public_config(node: NodeView) -> dict[str, str]:
    """Its first address of each kind that the whole Internet reaches. Nobody says a gateway."""
    found = {4: "", 6: ""}
    for host in reachable_hosts(node.addresses):
        if host.is_global and not found[host.version]:
            found[host.version] = str(host)
    return {"domain": "", "gw4": "", "gw6": "", "ipv4": found[4], "ipv6": found[6]}


def _dmi(node: NodeView) -> dict[str, Json]:
    cores = str(node.total.millicores // _MILLI)
    return {
        "bios": {"vendor": "", "version": ""},
        "baseboard": {"manufacturer": "", "product_name": node.hardware.board},
        "processor": [{"version": node.hardware.cpu_model, "thread_count": cores}],
        "memory": [],
    }
