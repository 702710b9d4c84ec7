"""One way to ask the explorer, whether the view is here or with peers; names people use."""

from collections.abc import Sequence
from typing import TypeVar

from p2pgrid.errors import BadInput, NotFound
from p2pgrid.explorer.query import FarmView, NodeFilter, NodeSort, NodeView
from p2pgrid.explorer.remote import Found, RemoteExplorer
from p2pgrid.explorer.service import ExplorerService
from p2pgrid.model.flist import FlistName, FlistReference
from p2pgrid.model.ids import FlistId, NodeId, short

_T = TypeVar("_T")


class ExplorerAccess:
    """Asks the local view of a full node, or the peers of a light one."""

    def __init__(self, service: ExplorerService | RemoteExplorer) -> None:
        self.service = service

    async def nodes(
        self, wanted: NodeFilter, *, sort: NodeSort = NodeSort.PRICE, limit: int | None = None
    ) -> Found[NodeView]:
        """Nodes that match, in order. Raises Unreachable."""
        if isinstance(self.service, RemoteExplorer):
            return await self.service.nodes(wanted, sort=sort, limit=limit)
        return _found(self.service.nodes(wanted, sort=sort, limit=limit))

    async def farms(self, wanted: str = "") -> tuple[FarmView, ...]:
        """Farms by name or first digits of the id. Raises Unreachable."""
        if isinstance(self.service, RemoteExplorer):
            return (await self.service.farms(wanted)).rows
        return self.service.farms(wanted)

    async def flist_names(self, title: str = "") -> tuple[FlistName, ...]:
        """Published names, withdrawn ones left out. Raises Unreachable."""
        if isinstance(self.service, RemoteExplorer):
            names = (await self.service.flist_names(title)).rows
        else:
            names = self.service.flist_names(title)
        return tuple(name for name in names if name.flist is not None)

    async def holders(self, flist: FlistId) -> tuple[NodeId, ...]:
        """Nodes that can serve every chunk of `flist`. Raises Unreachable."""
        if isinstance(self.service, RemoteExplorer):
            return (await self.service.holders(flist)).rows
        return self.service.holders(flist)

    async def one_node(self, prefix: str) -> NodeView:
        """The node whose id starts with these digits. Raises NotFound, BadInput, Unreachable."""
        found = await self.nodes(NodeFilter(node=prefix), limit=2)
        return only_one(found.rows, f"node {prefix!r}", [short(one.node) for one in found.rows])

    async def one_farm(self, wanted: str) -> FarmView:
        """The farm of this name or id. Raises NotFound, BadInput, Unreachable."""
        found = await self.farms(wanted)
        return only_one(found, f"farm {wanted!r}", [f"{one.farm.hex()[:16]}" for one in found])

    async def resolve(self, reference: FlistReference) -> FlistId:
        """The flist that a person means. Raises NotFound, BadInput, Unreachable."""
        if reference.flist is not None:
            return reference.flist
        wanted = f"{reference.publisher}/{reference.title}".removeprefix("/")
        named = await self.flist_names(reference.title)
        fitting = [one for one in named if one.title == reference.title]
        if reference.publisher:
            fitting = [one for one in fitting if await self._is_by(one, reference.publisher)]
        tagged = [one for one in fitting if one.tag == reference.tag]
        if fitting and not tagged:
            tags = ", ".join(sorted({one.tag for one in fitting}))
            raise NotFound(f"image {wanted!r} has no tag {reference.tag!r}; it has {tags}")
        publishers = [f"{one.publisher.hex()[:16]}/{one.title}:{one.tag}" for one in tagged]
        flist = only_one(tagged, f"image {wanted}:{reference.tag}", publishers).flist
        assert flist is not None, "withdrawn names are left out"
        return flist

    async def _is_by(self, name: FlistName, publisher: str) -> bool:
        """Whether people mean this publisher: first digits of its id, or the name of its farm."""
        if name.publisher.hex().startswith(publisher.casefold()):
            return True
        node = await self.nodes(NodeFilter(node=name.publisher.hex()), limit=1)
        # Anybody may claim a farm; only the farm confirms its nodes.
        return any(
            one.is_confirmed and one.farm_name.casefold() == publisher.casefold()
            for one in node.rows
        )


def only_one(rows: Sequence[_T], what: str, names: Sequence[str]) -> _T:
    """The one row there is. Raises NotFound without any, BadInput with several."""
    if not rows:
        raise NotFound(f"there is no {what}")
    if len(rows) > 1:
        raise BadInput(f"{what} could be several; say which: {', '.join(names)}")
    return rows[0]


def _found(rows: tuple[_T, ...]) -> Found[_T]:
    return Found(rows=rows, asked=0, agreed=0, youngest_age_ms=None)
