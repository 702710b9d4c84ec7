"""Which nodes can give what is wanted, in which order to ask them, and why the others cannot.

Order: price first; at one price one node of each farm before a second of any,
so that what a consumer runs spreads over farms; then the id, so that everyone
who knows the same nodes ranks them alike.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from p2pgrid.errors import NoFittingNode
from p2pgrid.limits.reservation import CANDIDATE_AGE_MS_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.genesis import PricingPolicy
from p2pgrid.model.ids import FarmId, NodeId, short
from p2pgrid.model.node import Feature
from p2pgrid.model.workload import Container, Workload
from p2pgrid.reservation.pricing import price_per_hour
from p2pgrid.units import HOUR_MS, Amount, format_bytes, format_tft

_REASONS_SHOWN_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What the explorer knows of a node that may be asked."""

    node: NodeId
    farm: FarmId
    free: Capacity
    features: tuple[Feature, ...]
    price_permille: int
    age_ms: int
    """How long ago the node last said so."""
    addresses: tuple[str, ...]
    is_distrusted: bool = False
    """Whether it is proved to have told different things at once, and nobody asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a consumer looks for."""

    needs: Capacity
    features: tuple[Feature, ...]
    price_per_hour_max: Amount | None = None
    """None: whatever it costs."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A node that can give it, at this price by its own announcement."""

    candidate: Candidate
    price_per_hour: Amount


@dataclass(frozen=True, slots=True)
class Misfit:
    """A node that cannot, and why."""

    candidate: Candidate
    reason: str


@dataclass(frozen=True, slots=True)
class Matching:
    """All candidates, sorted into those to ask and those not to."""

    fits: tuple[Fit, ...]
    """Best first."""
    misfits: tuple[Misfit, ...]

    def require_fits(self) -> tuple[Fit, ...]:
        """The fits. Raises NoFittingNode that names the commonest reasons when there are none."""
        if self.fits:
            return self.fits
        if not self.misfits:
            raise NoFittingNode("no node is known yet; wait until the explorer shows some")
        reasons = Counter(misfit.reason for misfit in self.misfits)
        told = "; ".join(
            f"{count} of {len(self.misfits)}: {reason}"
            for reason, count in reasons.most_common(_REASONS_SHOWN_MAX)
        )
        raise NoFittingNode(f"no node has what is asked for ({told})")


def features_of(workloads: Iterable[Workload]) -> tuple[Feature, ...]:
    """What a node must offer to run `workloads`, sorted."""
    wanted = {
        Feature.CONTAINER if isinstance(workload, Container) else Feature.VOLUME
        for workload in workloads
    }
    return tuple(sorted(wanted))


def match_nodes(
    candidates: Iterable[Candidate],
    wanted: Wanted,
    pricing: PricingPolicy,
    *,
    excluded: Collection[NodeId] = (),
    in_use: Mapping[FarmId, int] | None = None,
) -> Matching:
    """Sort `candidates` into those that fit, best first, and the others with their reasons.

    Args:
        candidates: each node once, in any order.
        wanted: what to look for.
        pricing: the grid's price list.
        excluded: nodes not to ask, for example because they refused just now.
        in_use: how many reservations the consumer has on each farm already;
            of equal prices, those farms come later.
    """
    fits, misfits = [], []
    for candidate in sorted(candidates, key=lambda candidate: candidate.node):
        price = price_per_hour(wanted.needs, pricing, candidate.price_permille)
        reason = "excluded" if candidate.node in excluded else _misfit(candidate, wanted, price)
        if reason is None:
            fits.append(Fit(candidate, price))
        else:
            misfits.append(Misfit(candidate, reason))
    return Matching(_spread_over_farms(fits, in_use or {}), tuple(misfits))


def lacking_text(needs: Capacity, room: Capacity) -> str:
    """Which resources are short and how much of each there is, for people; empty if none is.

    >>> lacking_text(Capacity(millicores=2000), Capacity(millicores=500))
    'only 0.5 cores left'
    """
    left = [_amount_text(name, getattr(room, name)) for name in needs.lacking_in(room)]
    return f"only {', '.join(left)} left" if left else ""


def _amount_text(resource: str, amount: int) -> str:
    match resource:
        case "millicores":
            return f"{amount / 1000:g} cores"
        case "gpus":
            return f"{amount} GPUs"
        case _:
            return f"{format_bytes(amount)} of {resource.removesuffix('_bytes')}"


def _misfit(candidate: Candidate, wanted: Wanted, price: Amount) -> str | None:
    """Why not, or None."""
    if candidate.is_distrusted:
        return "told different things at once; to be had by its id only"
    missing = [one.name.lower() for one in wanted.features if one not in candidate.features]
    if missing:
        return f"offers no {', '.join(missing)}"
    if candidate.age_ms > CANDIDATE_AGE_MS_MAX:
        return f"not heard of for {candidate.age_ms // HOUR_MS} hours"
    if not wanted.needs.fits_in(candidate.free):
        return lacking_text(wanted.needs, candidate.free)
    if wanted.price_per_hour_max is not None and price > wanted.price_per_hour_max:
        return f"costs {format_tft(price)} TFT an hour"
    return None


def _spread_over_farms(fits: Sequence[Fit], in_use: Mapping[FarmId, int]) -> tuple[Fit, ...]:
    """Order `fits`, which are sorted by id, by price, then by turn of their farm, then by id."""
    turns: Counter[tuple[Amount, FarmId]] = Counter()
    ranked = []
    for fit in fits:
        farm = fit.candidate.farm
        turn = turns[fit.price_per_hour, farm] + in_use.get(farm, 0)
        turns[fit.price_per_hour, farm] += 1
        ranked.append((fit.price_per_hour, turn, fit.candidate.node, fit))
    return tuple(fit for *_, fit in sorted(ranked, key=lambda row: row[:3]))


def describe(fit: Fit) -> str:
    """One line on a node that fits, for people."""
    return f"node {short(fit.candidate.node)} at {format_tft(fit.price_per_hour)} TFT an hour"
