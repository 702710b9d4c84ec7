"""What a person sees of one node or farm, put together from the records that are held of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from p2pgrid.explorer.memberships import Memberships
from p2pgrid.explorer.query import FarmView, NodeView, Presence, RoundTrips
from p2pgrid.limits.explorer import NODE_FRESH_MS
from p2pgrid.model.farm import FarmMembers, FarmRecord
from p2pgrid.model.node import CapacityUpdate, NodeAnnouncement, NodeStatus
from p2pgrid.units import TimestampMs


@dataclass(frozen=True, slots=True)
class Looker:
    """What somebody who looks at records knows beside them."""

    now_ms: TimestampMs
    is_liar: Callable[[bytes], bool]
    """Whether there is a proof that a key told different things at once."""
    round_trips: RoundTrips = field(default_factory=dict)
    memberships: Memberships = field(default_factory=Memberships)


def node_view(
    said: NodeAnnouncement,
    update: CapacityUpdate | None,
    farm: FarmRecord | None,
    members: FarmMembers | None,
    looker: Looker,
) -> NodeView:
    """One node. Give only records whose lease is not over."""
    now_ms, is_liar = looker.now_ms, looker.is_liar
    heard_ms = max(said.time_ms, update.time_ms if update else 0)
    age_ms = max(0, now_ms - heard_ms)
    return NodeView(
        node=said.node,
        farm=said.farm,
        farm_name=farm.title if farm else "",
        is_confirmed=members is not None and looker.memberships.lists(members, said.node),
        is_contradicted=is_liar(said.node),
        is_farm_contradicted=is_liar(said.farm),
        payout=farm.payout if farm else None,
        status=_presence(said.status, age_ms),
        age_ms=age_ms,
        free=update.free if update else said.total.less(said.system),
        total=said.total,
        system=said.system,
        reservations=update.reservations if update else 0,
        price_permille=said.price_permille,
        features=said.features,
        location=said.location or (farm.location if farm else None),
        hardware=said.hardware,
        addresses=said.addresses,
        reachability=said.reachability,
        overlay_address=said.overlay_address,
        version=said.version,
        boot_ms=said.boot_ms,
        uptime_ms=max(0, now_ms - said.boot_ms),
        round_trip_us=looker.round_trips.get(said.node),
    )


def farm_view(said: FarmRecord, members: FarmMembers | None, looker: Looker) -> FarmView:
    """One farm. Give only records whose lease is not over."""
    return FarmView(
        farm=said.farm,
        title=said.title,
        payout=said.payout,
        location=said.location,
        price_permille=said.price_permille,
        public_ranges=said.public_ranges,
        nodes=members.nodes if members else (),
        is_contradicted=looker.is_liar(said.farm),
        age_ms=max(0, looker.now_ms - said.time_ms),
    )


def _presence(said: NodeStatus, age_ms: int) -> Presence:
    if age_ms > NODE_FRESH_MS or said is NodeStatus.GONE:
        return Presence.DOWN
    return Presence.STANDBY if said is NodeStatus.STANDBY else Presence.UP
