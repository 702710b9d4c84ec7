"""Images and their names, over the control API."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from p2pgrid.api.answers import Json, OnProgress, ProgressAnswer, json_answer, read_json
from p2pgrid.api.services import Services
from p2pgrid.errors import BadInput, InvalidRecord, NotFound
from p2pgrid.explorer.announce import Stamp
from p2pgrid.flist.fl import TAG_CONFIG
from p2pgrid.flist.image_config import image_config
from p2pgrid.flist.service import FlistService, Progress
from p2pgrid.model.flist import FlistName, FlistReference
from p2pgrid.model.ids import AccountId, FlistId


class FlistRoutes:
    """What can be run."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def names(self, _: Request) -> Response:
        """Every published name."""
        explorer, now_ms = self._services.explorer, self._services.now_ms()
        rows = []
        for one in await explorer.flist_names():
            assert one.flist is not None, "withdrawn names are left out"
            rows.append(
                {
                    "name": f"{one.publisher.hex()}/{one.title}:{one.tag}",
                    "publisher": one.publisher,
                    "flist": one.flist,
                    "flist_bytes": one.flist_bytes,
                    "content_bytes": one.content_bytes,
                    "description": one.description,
                    "holders": len(await explorer.holders(one.flist)),
                    "age_ms": max(0, now_ms - one.time_ms),
                }
            )
        return json_answer(rows)

    async def convert(self, request: Request) -> Response:
        """Convert an image, and publish it when a name is given."""
        body = await read_json(request)
        flists = self._require_flists()
        name = _name_of(body["name"]) if body.get("name") else None
        source, description = str(body.get("source", "")), str(body.get("description", ""))

        async def work(on_progress: OnProgress) -> Json:
            def note(progress: Progress) -> None:
                on_progress(progress.phase, progress.done_bytes, progress.total_bytes)

            made = await flists.convert(source, note)
            self._services.holds_changed()
            published = None
            if name is not None:
                published = await self._publish(made.flist, name, description)
            tree = await flists.read(made.flist)
            config = image_config(tree.tags.get(TAG_CONFIG, "{}"))
            return {
                "flist": made.flist,
                "flist_bytes": len(made.data),
                "content_bytes": made.content_bytes,
                "entries": made.entry_count,
                "chunks": made.chunk_count,
                "name": published,
                "ports": [port.number for port in config.ports],
            }

        return ProgressAnswer(work)

    async def publish(self, request: Request) -> Response:
        """Give an flist that is here a name."""
        body = await read_json(request)
        wanted = str(body.get("flist", ""))
        local = [one.flist for one in self._require_flists().local()]
        fitting = [one for one in local if one.hex().startswith(wanted)]
        if not wanted or len(fitting) != 1:
            raise NotFound(f"there is no single flist {wanted!r} on this node; convert it here")
        name = _name_of(str(body.get("name", "")))
        description = str(body.get("description", ""))
        return json_answer({"name": await self._publish(fitting[0], name, description)})

    async def _publish(self, flist: FlistId, name: FlistReference, description: str) -> str:
        tree = await self._require_flists().read(flist)
        local = {one.flist: one.flist_bytes for one in self._require_flists().local()}
        publisher = AccountId(self._services.node)

        def flist_name(stamp: Stamp) -> FlistName:
            return FlistName(
                publisher=publisher,
                incarnation=stamp.incarnation,
                sequence=stamp.sequence,
                time_ms=stamp.time_ms,
                title=name.title,
                tag=name.tag,
                flist=flist,
                flist_bytes=local[flist],
                content_bytes=tree.content_bytes,
                description=description,
            )

        try:
            await self._services.explorer.service.publish_next(self._services.key, flist_name)
        except InvalidRecord as error:
            raise BadInput(str(error)) from error
        return f"{publisher.hex()}/{name.title}:{name.tag}"

    def _require_flists(self) -> FlistService:
        if self._services.flists is None:
            raise BadInput("a light peer keeps no chunks; convert the image on a full node")
        return self._services.flists


def _name_of(text: Any) -> FlistReference:
    """A name without publisher: that is always this node."""
    reference = FlistReference.parse(str(text))
    if reference.flist is not None or reference.publisher:
        raise BadInput(f"{text!r}: write NAME or NAME:TAG; the publisher is this node")
    return reference
