"""Whether a farm lists a node, for many nodes of few farms: its list is searched as a set."""

from collections import OrderedDict

from p2pgrid.limits.explorer import MEMBERSHIPS_MAX
from p2pgrid.model.farm import FarmMembers
from p2pgrid.model.ids import FarmId, NodeId


class Memberships:
    """Sets made of lists of members, of the farms that were asked for last."""

    def __init__(self) -> None:
        self._sets: OrderedDict[FarmId, tuple[FarmMembers, frozenset[NodeId]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sets)

    def lists(self, members: FarmMembers, node: NodeId) -> bool:
        """Whether this record, whatever the farm said before, lists the node."""
        held = self._sets.get(members.farm)
        if held is None or held[0] is not members:
            held = self._sets[members.farm] = members, frozenset(members.nodes)
            if len(self._sets) > MEMBERSHIPS_MAX:
                self._sets.popitem(last=False)
        self._sets.move_to_end(members.farm)
        return node in held[1]
