"""One way to ask the explorer, whether the view is here or with peers; names people use."""

from collections.abc import Sequence
from typing import TypeVar

from p2pgrid.errors import BadInput, NotFound
from p2pgrid.explorer.query import FarmView, NodeFilter, NodeSort, NodeView
from p2pgrid.explorer.remote import Found, RemoteExplorer
from p2pgrid.explorer.selection import Cut
from p2pgrid.explorer.service import ExplorerService
from p2pgrid.model.farm import FARM_NAME_BYTES_MAX
from p2pgrid.model.flist import FlistName, FlistReference
from p2pgrid.model.ids import FlistId, NodeId, require_text

_T = TypeVar("_T")

_NAMED_MAX = 5
_DIGITS = 16
"""Of ids that people are to tell apart."""


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
        return await self.page(wanted, Cut(sort, limit=limit))

    async def page(self, wanted: NodeFilter, cut: Cut) -> Found[NodeView]:
        """Some of the nodes that match, in order. Raises Unreachable."""
        if isinstance(self.service, RemoteExplorer):
            return await self.service.page(wanted, cut)
        page = self.service.page(wanted, cut)
        return _found(page.rows, page.total)

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
        if not prefix:
            raise BadInput("which node? give the first digits of its id")
        found = await self.nodes(NodeFilter(node=prefix), limit=2)
        return only_one(found.rows, f"node {prefix!r}", [_digits(one.node) for one in found.rows])

    async def one_farm(self, wanted: str) -> FarmView:
        """The farm of this name or id. Raises NotFound, BadInput, Unreachable."""
        if not wanted:
            raise BadInput("which farm? give its name, or the first digits of its id")
        require_text(wanted, "the name of a farm", bytes_max=FARM_NAME_BYTES_MAX)
        found = await self.farms(wanted)
        return only_one(found, f"farm {wanted!r}", [_digits(one.farm) for one in found])

    async def resolve(self, reference: FlistReference) -> FlistId:
        """The flist that a person means. Raises NotFound, BadInput, Unreachable."""
        if reference.flist is not None:
            return reference.flist
        flist = (await self.flist_name(reference)).flist
        assert flist is not None, "withdrawn names are left out"
        return flist

    async def flist_name(self, reference: FlistReference) -> FlistName:
        """The published name that a person means. Raises NotFound, BadInput, Unreachable."""
        wanted = f"{reference.publisher}/{reference.title}".removeprefix("/")
        named = await self.flist_names(reference.title)
        fitting = [one for one in named if one.title == reference.title]
        if reference.publisher and fitting:
            members = await self._confirmed_members(reference.publisher)
            prefix = reference.publisher.casefold()
            fitting = [
                one
                for one in fitting
                if one.publisher.hex().startswith(prefix) or one.publisher in members
            ]
        tagged = [one for one in fitting if one.tag == reference.tag]
        if fitting and not tagged:
            tags = ", ".join(sorted({one.tag for one in fitting}))
            raise NotFound(f"image {wanted!r} has no tag {reference.tag!r}; it has {tags}")
        publishers = [f"{_digits(one.publisher)}/{one.title}:{one.tag}" for one in tagged]
        return only_one(tagged, f"image {wanted}:{reference.tag}", publishers)

    async def _confirmed_members(self, farm: str) -> frozenset[bytes]:
        """The nodes of farms of that name. Anybody may claim a farm; it confirms its nodes."""
        found = await self.nodes(NodeFilter(farm=farm, is_confirmed=True))
        return frozenset(
            one.node for one in found.rows if one.farm_name.casefold() == farm.casefold()
        )


def only_one(rows: Sequence[_T], what: str, names: Sequence[str]) -> _T:
    """The one row there is. Raises NotFound without any, BadInput with several."""
    if not rows:
        raise NotFound(f"there is no {what}")
    if len(rows) > 1:
        more = ", …" if len(names) > _NAMED_MAX else ""
        raise BadInput(f"{what} could be several: {', '.join(names[:_NAMED_MAX])}{more}; say which")
    return rows[0]


def _digits(identity: bytes) -> str:
    return identity.hex()[:_DIGITS]


def _found(rows: tuple[_T, ...], total: int) -> Found[_T]:
    return Found(rows=rows, asked=0, agreed=0, youngest_age_ms=None, total=total)
