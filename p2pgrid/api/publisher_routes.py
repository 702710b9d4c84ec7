"""Who publishes images, and of whom something has been run from here; over the control API."""

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from p2pgrid.api.answers import json_answer
from p2pgrid.api.fields import account_key, read_body, shown
from p2pgrid.api.services import Services
from p2pgrid.errors import NotFound
from p2pgrid.model.address import format_account
from p2pgrid.model.flist import FlistName
from p2pgrid.model.ids import AccountId
from p2pgrid.publishers import forget_publisher, known_publishers
from p2pgrid.units import TimestampMs


class PublisherRoutes:
    """Whom people have looked at."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def publishers(self, _: Request) -> Response:
        """All that the grid knows of, those that are known here first."""
        names = await self._services.explorer.flist_names()
        known = known_publishers(self._services.data)
        own = AccountId(self._services.node)
        everybody = dict.fromkeys([*known, *(one.publisher for one in names)])
        now_ms = self._services.now_ms()
        rows = [
            {**introduction(one, names, now_ms), "is_known": one in known, "is_own": one == own}
            for one in everybody
        ]
        return json_answer(rows)

    async def forget(self, request: Request) -> Response:
        """Warn of a publisher again."""
        text = (await read_body(request, "publisher")).text("publisher")
        publisher = AccountId(account_key(text))
        if not forget_publisher(self._services.data, publisher):
            raise NotFound(f"{shown(text)} is not among the publishers that are known here")
        return json_answer({"publisher": publisher})


def introduction(
    publisher: AccountId, names: Iterable[FlistName], now_ms: TimestampMs
) -> dict[str, Any]:
    """Who a publisher is, as far as his names tell."""
    own = [one for one in names if one.publisher == publisher]
    return {
        "publisher": publisher,
        "address": format_account(publisher),
        "names": len(own),
        "newest_age_ms": min((max(0, now_ms - one.time_ms) for one in own), default=None),
    }
