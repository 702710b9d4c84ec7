"""Changes that nodes make to what they say, and whether all of them are everywhere."""

import time
from dataclasses import dataclass, field
from random import Random
from typing import Any

from p2pgrid.cli.demo_grid import Member
from p2pgrid.errors import GridError, Unreachable

POLL_SECONDS = 0.5


@dataclass
class Changes:
    """What nodes acknowledged: the name and price of farms, and names of flists."""

    random: Random
    flists: dict[str, str]
    """An flist that each node holds, by the node's id."""
    farms: dict[str, tuple[str, tuple[str, int]]] = field(default_factory=dict)
    """By node: its farm, with the name and price (permille) that it acknowledged last."""
    unsure: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    """By node: what it was told since and did not acknowledge; it may have become so or not."""
    names: set[str] = field(default_factory=set)
    """Published names, each a record of its own: publisher/title:tag."""
    count: int = 0

    def make(self, member: Member) -> None:
        """One change at a node; one that it does not acknowledge does not count."""
        self.count += 1
        try:
            if self.random.random() < 0.5:
                self._change_farm(member)
            else:
                self._publish(member)
        except Unreachable:
            return  # it was killed meanwhile, or has not started yet

    def _change_farm(self, member: Member) -> None:
        title, percent = f"Farm {member.name} {self.count}", self.random.randrange(10, 200)
        said = (title, percent * 10)
        self.unsure.setdefault(member.node_id, set()).add(said)
        made = member.client.post("/farms", {"name": title, "price_percent": percent})
        assert (made["title"], made["price_permille"]) == said
        del self.unsure[member.node_id]
        self.farms[member.node_id] = (made["farm"], said)

    def _publish(self, member: Member) -> None:
        body = {"flist": self.flists[member.node_id], "name": f"change:{self.count}"}
        made = member.client.post("/flists/names", {**body, "description": ""})
        self.names.add(made["name"])

    def missing_at(self, member: Member) -> list[str]:
        """What was acknowledged somewhere and is not known at this node."""
        known = {one["name"] for one in member.client.get("/flists", limit=10_000)}
        missing = sorted(self.names - known)
        farms = {one["farm"]: one for one in member.client.get("/farms")}
        for node, (identity, said) in self.farms.items():
            shown = farms.get(identity, {"title": "nothing", "price_permille": 0})
            now = (shown["title"], shown["price_permille"])
            if now != said and now not in self.unsure.get(node, set()):
                missing.append(f"{said}: {now} is shown")
        return missing


def roots(members: list[Member]) -> list[str]:
    """The root that each node shows; its own name where it does not answer."""
    found = []
    for member in members:
        try:
            found.append(str(member.client.get("/explorer")["root"]))
        except GridError as error:
            found.append(f"{member.name}: {error}")
    return found


def seconds_until_equal(members: list[Member], *, seconds_max: float) -> float:
    """How long until all show one root. Raises AssertionError with the roots they show."""
    started = time.monotonic()
    while True:
        shown = roots(members)
        took = time.monotonic() - started
        if len(set(shown)) == 1:
            return took
        assert took < seconds_max, f"not equal after {took:.0f} s: {_told(members, shown)}"
        time.sleep(POLL_SECONDS)


def _told(members: list[Member], shown: list[str]) -> list[tuple[str, str, Any]]:
    told: list[tuple[str, str, Any]] = []
    for member, root in zip(members, shown, strict=True):
        try:
            status = member.client.get("/explorer")
        except GridError as error:
            told.append((member.name, root[:8], str(error)))
            continue
        peers = [(one["peer"][:6], one["reconciled_age_ms"]) for one in status["peers"]]
        told.append((member.name, root[:8], [status["by_kind"], peers]))
    return told
