"""What becomes of a record that others bring: by gossip, which is passed on, or by a pull.

A node that has just come up is pulled from by its peers before its gossip reaches them. What
they have then by the pull they still pass on when it comes by gossip as well, once:
nobody else would hear of it until he pulls.
"""

from collections import OrderedDict
from collections.abc import Callable

from p2pgrid.crdt.register import register_key
from p2pgrid.explorer.admission import Refusal
from p2pgrid.explorer.pace import Pace
from p2pgrid.explorer.records import ExplorerRecord
from p2pgrid.explorer.view import View
from p2pgrid.limits.explorer import PULLED_REMEMBERED_MAX, PULLED_REMEMBERED_MS
from p2pgrid.net.network import Verdict
from p2pgrid.units import TimestampMs
from p2pgrid.wire.signed import RecordId, Signed


class Hearing:
    """Decides for one node.

    Args:
        view: what the node knows.
        admit: takes a verified record into it, unless a rule refuses; whether it was news.
    """

    __slots__ = ("_admit", "_pace", "_pulled_ms", "_view")

    def __init__(
        self, view: View, admit: Callable[[Signed[ExplorerRecord], TimestampMs], bool]
    ) -> None:
        self._view = view
        self._admit = admit
        self._pace = Pace()
        self._pulled_ms: OrderedDict[RecordId, int] = OrderedDict()
        """When a record came by a pull, and was not heard by gossip since; the latest last."""

    def gossiped(self, signed: Signed[ExplorerRecord], now_ms: TimestampMs) -> Verdict:
        """A verified record came by gossip. Timing and rate are never the forwarder's fault."""
        refusal = self._view.refusal(signed, now_ms)
        if refusal is Refusal.KNOWN:
            pulled_ms = self._pulled_ms.pop(signed.id, None)
            is_fresh = pulled_ms is not None and now_ms < pulled_ms + PULLED_REMEMBERED_MS
            return Verdict.ACCEPT if is_fresh else Verdict.IGNORE
        if refusal is None and not self._pace.take(register_key(signed), now_ms):
            return Verdict.IGNORE  # a pull brings it later, if it is still the newest then
        return Verdict.ACCEPT if self._admit(signed, now_ms) else Verdict.IGNORE

    def pulled(self, signed: Signed[ExplorerRecord], now_ms: TimestampMs) -> bool:
        """A verified record came by a pull; whether it was news."""
        is_news = self._admit(signed, now_ms)
        if is_news:
            self._pulled_ms[signed.id] = now_ms
            if len(self._pulled_ms) > PULLED_REMEMBERED_MAX:
                self._pulled_ms.popitem(last=False)
        return is_news
