"""How the explorer is doing, over the control API."""

import resource
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from p2pgrid.api.answers import json_answer
from p2pgrid.api.documents import to_json
from p2pgrid.api.services import Services
from p2pgrid.explorer.service import ExplorerService

_STATM = Path("/proc/self/statm")


class ExplorerRoutes:
    """What this peer knows of the grid, as a whole."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def status(self, _: Request) -> Response:
        """How complete and how fresh the view is; a light peer only tells whom it can ask."""
        services = self._services
        told: dict[str, Any] = {
            "node": services.node,
            "role": "light peer" if services.is_light else "node",
            "resident_bytes": resident_bytes(),
            "uptime_ms": services.now_ms() - services.started_ms,
        }
        explorer = services.explorer.service
        if isinstance(explorer, ExplorerService):
            told |= to_json(explorer.status())
        else:
            peers = [
                {"peer": peer, "reconciled_age_ms": None, "is_node": None}
                for peer in services.network.peers()
            ]
            told |= {"root": None, "records": None, "peers": peers}
        return json_answer(told)


def resident_bytes() -> int:
    """What this process takes of the machine's memory."""
    return int(_STATM.read_text().split()[1]) * resource.getpagesize()
