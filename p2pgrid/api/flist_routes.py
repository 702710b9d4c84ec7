"""Images and their names, over the control API."""

from dataclasses import replace

import trio
from starlette.requests import Request
from starlette.responses import Response

from p2pgrid.api.answers import OnProgress, ProgressAnswer, json_answer
from p2pgrid.api.fields import Json, key_of, read_body, read_query, shown
from p2pgrid.api.services import PulledImages, Services
from p2pgrid.errors import BadInput, NotFound, Unreachable
from p2pgrid.explorer.announce import Stamp
from p2pgrid.flist.fetching import Progress, pack_blobs
from p2pgrid.flist.fl import TAG_CONFIG
from p2pgrid.flist.image_config import image_config
from p2pgrid.flist.service import FlistService
from p2pgrid.limits.control import FLISTS_LISTED, HOLDER_QUESTIONS_AT_ONCE, LISTED_MAX
from p2pgrid.limits.flist import READ_BATCH_CHUNKS
from p2pgrid.model.flist import FlistName, FlistReference
from p2pgrid.model.ids import AccountId, ChunkId, FlistId, NodeId


class FlistRoutes:
    """What can be run."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def names(self, request: Request) -> Response:
        """Published names: of one title, or all of them."""
        query = read_query(request, "title", "search", "limit")
        limit = query.whole("limit", FLISTS_LISTED, most=LISTED_MAX)
        found = await self._services.explorer.flist_names(query.text("title", ""))
        words = query.text("search", "").casefold().split()
        names = [one for one in found if _speaks_of(one, words)][:limit]
        holders = await self._holders({_flist_of(one) for one in names})
        return json_answer(
            [{**self._row(one), "holders": len(holders[_flist_of(one)])} for one in names]
        )

    async def show(self, request: Request) -> Response:
        """One flist, by name or id: what it is called, and who has it."""
        explorer, text = self._services.explorer, request.path_params["flist"]
        flist = await explorer.resolve(FlistReference.parse(text))
        names = [one for one in await explorer.flist_names() if one.flist == flist]
        holders = await explorer.holders(flist)
        local = self._services.flists.local() if self._services.flists else []
        is_here = any(one.flist == flist for one in local)
        if not (names or holders or is_here):
            raise NotFound(f"nobody here knows an flist {text}")
        rows = [self._row(one) for one in names]
        return json_answer({"flist": flist, "names": rows, "holders": holders, "is_here": is_here})

    async def file(self, request: Request) -> Response:
        """The `.fl` file of an flist, from here or from one of its holders."""
        flists, pulled = self._services.flists, self._services.pulled
        if flists is None or pulled is None:
            raise BadInput("a light peer fetches no flists; ask a full node")
        reference = FlistReference.parse(request.path_params["flist"])
        flist = await self._services.explorer.resolve(reference)
        data = await flists.data(flist, pulled.holders_of(flist))
        return Response(data, media_type="application/octet-stream")

    async def blobs(self, request: Request) -> Response:
        """Chunks of an flist, each after its length in 4 bytes; fetched where they are not here."""
        body = await read_body(request, "flist", "chunks")
        flists, pulled = self._services.flists, self._services.pulled
        if flists is None or pulled is None:
            raise BadInput("a light peer fetches no chunks; ask a full node")
        chunks = [ChunkId(key_of(one)) for one in body.texts("chunks")]
        if len(chunks) > READ_BATCH_CHUNKS:
            raise BadInput(f"{len(chunks)} chunks at once; {READ_BATCH_CHUNKS} is the limit")
        flist = FlistId(key_of(body.text("flist")))
        blobs = await flists.blobs(flist, chunks, pulled.holders_of(flist))
        return Response(pack_blobs(blobs), media_type="application/octet-stream")

    def _row(self, name: FlistName) -> dict[str, Json]:
        return {
            "name": f"{name.publisher.hex()}/{name.title}:{name.tag}",
            "publisher": name.publisher,
            "title": name.title,
            "tag": name.tag,
            "flist": name.flist,
            "flist_bytes": name.flist_bytes,
            "content_bytes": name.content_bytes,
            "description": name.description,
            "age_ms": max(0, self._services.now_ms() - name.time_ms),
        }

    async def _holders(self, flists: set[FlistId]) -> dict[FlistId, tuple[NodeId, ...]]:
        """Who has each of them. A light peer asks others for every one, so several at once."""
        found: dict[FlistId, tuple[NodeId, ...]] = {}
        limiter = trio.CapacityLimiter(HOLDER_QUESTIONS_AT_ONCE)

        async def ask(flist: FlistId) -> None:
            async with limiter:
                try:
                    found[flist] = await self._services.explorer.holders(flist)
                except Unreachable:
                    found[flist] = ()  # the names are worth showing all the same

        async with trio.open_nursery() as nursery:
            for flist in sorted(flists):
                nursery.start_soon(ask, flist)
        return found

    async def convert(self, request: Request) -> Response:
        """Convert an image, and publish it when a name is given."""
        body = await read_body(request, "source", "name", "description")
        flists = self._require_flists()
        source, description = body.text("source"), body.text("description", "")
        name = _name_of(body.text("name")) if body.has("name") else None
        if name is not None:
            self._flist_name(name, description)  # refused before the work, not after it

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

    async def verify(self, request: Request) -> Response:
        """Read every chunk of an flist that is here."""
        wanted = (await read_body(request, "flist")).text("flist")
        flists = self._require_flists()
        flist = await self._services.explorer.resolve(FlistReference.parse(wanted))

        async def work(on_progress: OnProgress) -> Json:
            def note(progress: Progress) -> None:
                on_progress(progress.phase, progress.done_bytes, progress.total_bytes)

            verdict = await flists.verify(flist, note)
            return {
                "flist": flist,
                "blocks": verdict.block_count,
                "missing": verdict.missing,
                "damaged": verdict.damaged,
            }

        return ProgressAnswer(work)

    async def pull(self, request: Request) -> Response:
        """Bring all of an image here, and keep it when it is to be seeded."""
        body = await read_body(request, "flist", "seed")
        wanted, is_seeded, pulled = body.text("flist"), body.flag("seed"), self._require_pulled()
        flist = await self._services.explorer.resolve(FlistReference.parse(wanted))

        async def work(on_progress: OnProgress) -> Json:
            def note(told: Progress) -> None:
                on_progress(
                    told.phase,
                    told.done_bytes,
                    told.total_bytes,
                    peers=told.peer_count,
                    bytes_per_second=told.bytes_per_second,
                )

            made = await pulled.pull(flist, note, is_seeded=is_seeded)
            return {
                "flist": flist,
                "content_bytes": made.content_bytes,
                "chunks": made.chunk_count,
                "fetched_bytes": sum(made.given_bytes.values()),
                "given_bytes": {node.hex(): count for node, count in made.given_bytes.items()},
                "is_seeded": is_seeded,
            }

        return ProgressAnswer(work)

    async def stop_seeding(self, request: Request) -> Response:
        """Keep an image no longer for others; what is here of it becomes a cache."""
        wanted = (await read_body(request, "flist")).text("flist")
        pulled = self._require_pulled()
        flist = await self._services.explorer.resolve(FlistReference.parse(wanted))
        if not await pulled.stop(flist):
            raise NotFound(f"this node does not seed {shown(wanted)}")
        return json_answer({"flist": flist})

    async def publish(self, request: Request) -> Response:
        """Give an flist that is here a name."""
        body = await read_body(request, "flist", "is_name", "name", "description")
        wanted, name = body.text("flist"), _name_of(body.text("name"))
        description = body.text("description", "")
        local = [one.flist for one in self._require_flists().local()]
        if body.flag("is_name"):
            wanted = (await self._services.explorer.resolve(FlistReference.parse(wanted))).hex()
        fitting = [one for one in local if one.hex().startswith(wanted.casefold())]
        if not wanted or not fitting:
            raise NotFound(f"there is no flist {shown(wanted)} on this node; convert it here")
        if len(fitting) > 1:
            raise BadInput(f"{shown(wanted)} could be {len(fitting)} flists; give more digits")
        return json_answer({"name": await self._publish(fitting[0], name, description)})

    async def withdraw(self, request: Request) -> Response:
        """Take back a name of ours; the flist itself stays where it is."""
        name = _name_of((await read_body(request, "name")).text("name"))
        ours = self._flist_name(name, "")
        known = await self._services.explorer.flist_names(name.title)
        if not any((one.author, one.name) == (ours.author, ours.name) for one in known):
            raise NotFound(f"this node publishes no {name.title}:{name.tag}")

        def withdrawn(stamp: Stamp) -> FlistName:
            return replace(
                ours,
                incarnation=stamp.incarnation,
                sequence=stamp.sequence,
                time_ms=stamp.time_ms,
            )

        await self._services.explorer.service.publish_next(self._services.key, withdrawn)
        return json_answer({"name": f"{ours.publisher.hex()}/{ours.title}:{ours.tag}"})

    async def _publish(self, flist: FlistId, name: FlistReference, description: str) -> str:
        flists = self._require_flists()
        tree = await flists.read(flist)
        flist_bytes = next(one.flist_bytes for one in flists.local() if one.flist == flist)
        made = self._flist_name(name, description)

        def flist_name(stamp: Stamp) -> FlistName:
            return replace(
                made,
                incarnation=stamp.incarnation,
                sequence=stamp.sequence,
                time_ms=stamp.time_ms,
                flist=flist,
                flist_bytes=flist_bytes,
                content_bytes=tree.content_bytes,
            )

        await self._services.explorer.service.publish_next(self._services.key, flist_name)
        return f"{made.publisher.hex()}/{made.title}:{made.tag}"

    def _flist_name(self, name: FlistReference, description: str) -> FlistName:
        """A name of ours that means nothing yet. Raises InvalidRecord."""
        return FlistName(
            publisher=AccountId(self._services.node),
            incarnation=0,
            sequence=0,
            time_ms=self._services.now_ms(),
            title=name.title,
            tag=name.tag,
            flist=None,
            flist_bytes=0,
            content_bytes=0,
            description=description,
        )

    def _require_pulled(self) -> PulledImages:
        if self._services.pulled is None:
            raise BadInput("a light peer keeps no chunks; pull the image on a full node")
        return self._services.pulled

    def _require_flists(self) -> FlistService:
        if self._services.flists is None:
            raise BadInput("a light peer keeps no chunks; convert the image on a full node")
        return self._services.flists


def _name_of(text: str) -> FlistReference:
    """A name without publisher: that is always this node."""
    reference = FlistReference.parse(text)
    if reference.flist is not None or reference.publisher:
        raise BadInput(f"{shown(text)}: write NAME or NAME:TAG; the publisher is this node")
    return reference


def _speaks_of(name: FlistName, words: list[str]) -> bool:
    """Whether every word, in lower case, is in what a name says of itself."""
    text = f"{name.title}:{name.tag} {name.description}".casefold()
    return all(word in text for word in words)


def _flist_of(name: FlistName) -> FlistId:
    assert name.flist is not None, "withdrawn names are left out"
    return name.flist
