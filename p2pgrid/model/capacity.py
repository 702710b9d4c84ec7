"""Capacity: amounts of what a machine has, needs or has left."""

from dataclasses import dataclass, fields

from p2pgrid.errors import InvalidRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """An amount of each resource. The field's unit names: CRU, MRU, SRU, HRU."""

    millicores: int = 0
    """Logical CPUs in thousandths (1000 is one core), so that parts of a core can be reserved."""
    memory_bytes: int = 0
    ssd_bytes: int = 0
    hdd_bytes: int = 0
    gpus: int = 0

    def __post_init__(self) -> None:
        least = min(self.millicores, self.memory_bytes, self.ssd_bytes, self.hdd_bytes, self.gpus)
        if least < 0:
            name = next(f.name for f in fields(self) if getattr(self, f.name) < 0)
            raise InvalidRecord(f"{name} is negative")

    def __add__(self, other: "Capacity") -> "Capacity":
        return Capacity(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )

    def less(self, other: "Capacity") -> "Capacity":
        """What is left of this after `other` is taken; never below nothing."""
        return Capacity(
            **{f.name: max(0, getattr(self, f.name) - getattr(other, f.name)) for f in fields(self)}
        )

    def fits_in(self, room: "Capacity") -> bool:
        """Whether `room` has at least this much of everything."""
        return not self.lacking_in(room)

    def lacking_in(self, room: "Capacity") -> tuple[str, ...]:
        """The names of the resources of which `room` has too little."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) > getattr(room, f.name))
