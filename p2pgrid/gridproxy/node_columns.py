"""What gridproxy's filters and orders look at, that the explorer's columns do not say directly."""

from collections.abc import Callable

import numpy as np

from p2pgrid.explorer.columns import bits_of
from p2pgrid.explorer.query import Presence
from p2pgrid.explorer.selection import Bools, Ints, Rows
from p2pgrid.gridproxy.gpus import GpuLines, GpuTexts
from p2pgrid.gridproxy.numbers import Named, any_named, numbers_of
from p2pgrid.gridproxy.prices import Floats, usd_per_month
from p2pgrid.limits.explorer import NAME_LEASE_MS
from p2pgrid.model.genesis import PricingPolicy
from p2pgrid.model.node import Feature

STATUS_NAMES = {"up": Presence.UP, "standby": Presence.STANDBY, "down": Presence.DOWN}


class NodeRows:
    """All nodes at one time, alive or not."""

    def __init__(self, rows: Rows, pricing: PricingPolicy, gpus: GpuTexts | None = None) -> None:
        self.rows = rows
        self.farms = rows.columns.farms
        self._pricing = pricing
        self._gpus = GpuTexts() if gpus is None else gpus

    def all(self) -> Bools:
        """Every row."""
        return np.ones(self.rows.nodes.length, np.bool_)

    def belongs(self) -> Bools:
        """Whether its farm lists it. Anybody may claim any farm; such a node is shown without."""
        return self.rows.is_confirmed()

    def of_farms(self, farms: Bools) -> Bools:
        """Whether it belongs to one of some farms."""
        return farms[self.rows.ints("farm")] & self.belongs()

    def known_farms(self) -> Bools:
        """Which farms have said something that still counts."""
        known: Bools = self.farms.ints("time_ms") + NAME_LEASE_MS >= self.rows.now_ms
        return known

    def farms_titled(self, is_such: Callable[[str], bool]) -> Bools:
        """Which known farms have such a name, case folded."""
        found = np.zeros(self.farms.length, np.bool_)
        for row, title in self.rows.columns.titles.items():
            found[row] = is_such(title)
        return found & self.known_farms()

    def farms_named(self, *wanted: Named) -> Bools:
        """Which farms have one of these numbers or ids."""
        return any_named(self.farms["farm"], wanted)

    def named(self, *wanted: Named) -> Bools:
        """Whether it has one of these numbers or ids."""
        return any_named(self.rows.nodes["node"], wanted)

    def placed(self, column: str, is_such: Callable[[str], bool]) -> Bools:
        """Whether it stands in a country or city of such a name, case folded."""
        numbers = [number for text, number in self.rows.columns.places if is_such(text)]
        return np.isin(self.rows.place(column), numbers)

    def with_gpu(self, is_such: Callable[[GpuLines], bool]) -> Bools:
        """Whether it has such a GPU."""
        numbers = [
            number
            for texts, number in self.rows.columns.gpu_names
            if is_such(self._gpus.lines(texts))
        ]
        return np.isin(self.rows.ints("gpu_names"), numbers)

    def offers(self, *features: Feature) -> Bools:
        """Whether it offers all of them."""
        bits = bits_of(features)
        offered: Bools = (self.rows.ints("features") & bits) == bits
        return offered

    def farm_ranges(self) -> Ints:
        """How many address ranges its farm has."""
        ranges: Ints = np.where(self.known_farms(), self.farms.ints("ranges"), 0)
        of_farm: Ints = np.where(self.belongs(), ranges[self.rows.ints("farm")], 0)
        return of_farm

    def farm_numbers(self) -> Ints:
        """The number of its farm; 0 when it belongs to none."""
        numbers = numbers_of(self.farms["farm"])[self.rows.ints("farm")]
        of_farm: Ints = np.where(self.belongs(), numbers, 0)
        return of_farm

    def used(self, resource: str) -> Ints:
        """What is not free of a resource."""
        total = self.rows.ints(f"total_{resource}")
        used: Ints = np.maximum(0, total - self.rows.free(resource))
        return used

    def price_usd(self) -> Floats:
        """What the whole node costs a month."""
        return usd_per_month(self.rows.ints, self._pricing)

    def prices_usd_of(self, rows: Ints) -> Floats:
        """The same of some rows only."""
        return usd_per_month(lambda name: self.rows.ints(name)[rows], self._pricing)
