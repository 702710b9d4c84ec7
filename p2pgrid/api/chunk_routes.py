"""The chunk store of this node, over the control API."""

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response

from p2pgrid.api.answers import OnProgress, ProgressAnswer, json_answer
from p2pgrid.api.fields import Json, read_body
from p2pgrid.api.services import Services
from p2pgrid.chunks.keeper import ChunkKeeper
from p2pgrid.errors import BadInput


class ChunkRoutes:
    """What is kept of images, and what that takes."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def stats(self, _: Request) -> Response:
        """How the chunks stand."""
        return json_answer(asdict(await self._keeper().report()))

    async def verify(self, _: Request) -> Response:
        """Read and hash everything."""
        keeper = self._keeper()

        async def work(on_progress: OnProgress) -> Json:
            found = await keeper.verify(lambda done, total: on_progress("chunks", done, total))
            self._services.holds_changed()
            return {**asdict(found), "is_sound": found.is_sound}

        return ProgressAnswer(work)

    async def collect(self, request: Request) -> Response:
        """Evict and compact."""
        body = await read_body(request, "all")
        is_all = body.flag("all")
        keeper = self._keeper()

        async def work(on_progress: OnProgress) -> Json:
            made = await keeper.collect(
                is_all=is_all,
                on_progress=lambda done, total: on_progress("packs", done, total),
            )
            return asdict(made)

        return ProgressAnswer(work)

    def _keeper(self) -> ChunkKeeper:
        if self._services.chunks is None:
            raise BadInput("a light peer keeps no chunks")
        return self._services.chunks
