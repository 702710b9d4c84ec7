"""Images are converted and named, and everybody hears of it; what cannot be is refused early."""

from pathlib import Path

import pytest

from p2pgrid.errors import BadInput, NotFound
from p2pgrid.flist.blocks import decode_block
from p2pgrid.flist.fetching import unpack_blobs
from p2pgrid.flist.fl_reader import decode_flist
from p2pgrid.flist.service import FlistService, LocalFlist
from p2pgrid.limits.flist import READ_BATCH_CHUNKS
from p2pgrid.model.flist import flist_id
from p2pgrid.model.ids import FlistId
from tests.api.grid import ApiGrid, Member, eventually, in_thread


@pytest.fixture
def tree(grid: ApiGrid) -> Path:
    made = grid.node.services.data / "tree"
    made.mkdir()
    (made / "hello").write_text("hello")
    return made


async def convert(grid: ApiGrid, tree: Path, **named: str) -> dict[str, object]:
    return dict(await grid.node.result("/flists", {"source": f"dir:{tree}", **named}))


async def test_a_directory_becomes_an_flist_with_a_name(grid: ApiGrid, tree: Path) -> None:
    made = await convert(grid, tree, name="web:1", description="a page")

    assert made["name"] == f"{grid.node.identity}/web:1"
    assert (made["entries"], made["content_bytes"], made["chunks"]) == (2, 5, 1)
    (listed,) = await grid.consumer.get("/flists")
    assert listed["flist"] == made["flist"]
    assert (listed["title"], listed["tag"], listed["description"]) == ("web", "1", "a page")
    assert await grid.consumer.get("/flists", title="other") == []
    assert await grid.consumer.get("/flists", limit=0) == []


async def test_names_are_searched_by_words_and_given_again(grid: ApiGrid, tree: Path) -> None:
    made = await convert(grid, tree, name="web:1", description="A small Page")
    for words, count in (("page", 1), ("WEB small", 1), ("web: page", 1), ("web other", 0)):
        assert len(await grid.consumer.get("/flists", search=words)) == count

    body = {"flist": f"{grid.node.identity[:8]}/web:1", "is_name": True, "name": "web"}
    given = await grid.node.post("/flists/names", body)
    assert given["name"] == f"{grid.node.identity}/web:latest"
    assert {one["tag"] for one in await grid.consumer.get("/flists", title="web")} == {
        "1", "latest"
    }  # fmt: skip
    assert {one["flist"] for one in await grid.node.get("/flists")} == {made["flist"]}
    with pytest.raises(NotFound, match="there is no image"):
        await grid.node.post("/flists/names", {**body, "flist": "nobody/else"})


async def test_an_flist_is_shown_by_name_and_by_id(grid: ApiGrid, tree: Path) -> None:
    made = await convert(grid, tree, name="web:1")
    for reference in (f"{grid.node.identity[:8]}%2fweb:1", made["flist"]):
        shown = await grid.node.get(f"/flists/{reference}")
        assert shown["flist"] == made["flist"]
        assert shown["is_here"]
        assert [one["title"] for one in shown["names"]] == ["web"]

    await eventually(lambda: _holders(grid, str(made["flist"])))
    shown = await grid.consumer.get(f"/flists/{made['flist']}")
    assert (shown["holders"], shown["is_here"]) == ([grid.node.identity], False)
    with pytest.raises(NotFound, match="nobody here knows"):
        await grid.node.get("/flists/" + "00" * 32)


async def test_the_file_of_an_flist_is_given_by_name_and_by_id(grid: ApiGrid, tree: Path) -> None:
    made = await convert(grid, tree, name="web:1")

    for reference in (f"{grid.node.identity[:8]}%2fweb:1", made["flist"]):
        data = await grid.node.read(f"/flist-files/{reference}")
        assert flist_id(data).hex() == made["flist"]
    with pytest.raises(NotFound):
        await grid.node.get("/flist-files/" + "00" * 32)
    with pytest.raises(BadInput, match="light peer"):
        await grid.consumer.get(f"/flist-files/{made['flist']}")


async def test_a_name_is_taken_back_everywhere_and_can_be_given_again(
    grid: ApiGrid, tree: Path
) -> None:
    made = await convert(grid, tree, name="web:1")
    other = await grid.node.post("/flists/names", {"flist": made["flist"], "name": "web:2"})

    gone = await grid.node.post("/flists/names/withdraw", {"name": "web:1"})

    assert gone["name"] == made["name"]
    assert [one["name"] for one in await grid.node.get("/flists")] == [other["name"]]
    assert [one["name"] for one in await grid.consumer.get("/flists")] == [other["name"]]
    assert (await grid.node.get(f"/flists/{made['flist']}"))["is_here"]
    await grid.node.post("/flists/names", {"flist": made["flist"], "name": "web:1"})
    assert len(await grid.node.get("/flists")) == 2


@pytest.mark.parametrize("name", ["web:2", "other", "web"])
async def test_a_name_that_is_not_ours_is_not_taken_back(
    grid: ApiGrid, tree: Path, name: str
) -> None:
    await convert(grid, tree, name="web:1")

    with pytest.raises(NotFound, match="this node publishes no"):
        await grid.node.post("/flists/names/withdraw", {"name": name})
    with pytest.raises(NotFound, match="this node publishes no"):
        await grid.consumer.post("/flists/names/withdraw", {"name": "web:1"})


async def test_the_chunks_of_an_flist_are_given_in_one_answer(grid: ApiGrid, tree: Path) -> None:
    made = await convert(grid, tree)
    root = decode_flist(await grid.node.read(f"/flist-files/{made['flist']}")).root
    (block,) = root.children[b"hello"].blocks
    asked = {"flist": made["flist"], "chunks": [block.id.hex()] * 2}

    data = await in_thread(lambda: grid.node.client.read_posted("/flists/blobs", asked))

    first, second = unpack_blobs(data, 2)
    assert decode_block(block, first, plain_bytes=5) == b"hello"
    assert first == second


async def test_chunks_that_cannot_be_given_are_refused(grid: ApiGrid) -> None:
    async def ask(member: Member, *chunks: str) -> None:
        await member.post("/flists/blobs", {"flist": "00" * 32, "chunks": chunks})

    with pytest.raises(NotFound):
        await ask(grid.node, "00" * 32)
    with pytest.raises(BadInput, match="is the limit"):
        await ask(grid.node, *["00" * 32] * (READ_BATCH_CHUNKS + 1))
    with pytest.raises(BadInput, match="64 hex digits"):
        await ask(grid.node, "00")
    with pytest.raises(BadInput, match="light peer"):
        await ask(grid.consumer, "00" * 32)


async def test_every_chunk_of_an_flist_is_verified(grid: ApiGrid, tree: Path) -> None:
    made = await convert(grid, tree, name="web:1")

    verdict = await grid.node.result("/flists/verify", {"flist": "web:1"})

    told = {"flist": made["flist"], "blocks": 1, "missing": [], "damaged": []}
    assert verdict == told
    with pytest.raises(NotFound):
        await grid.node.result("/flists/verify", {"flist": "00" * 32})


async def _holders(grid: ApiGrid, flist: str) -> object:
    return (await grid.consumer.get(f"/flists/{flist}"))["holders"]


async def test_an_flist_gets_more_names_by_its_first_digits(grid: ApiGrid, tree: Path) -> None:
    made = await convert(grid, tree)
    assert made["name"] is None

    body = {"flist": str(made["flist"])[:8].upper(), "name": "copy"}
    assert (await grid.node.post("/flists/names", body))["name"].endswith("/copy:latest")
    for wanted in ("", "zz", "00" * 32):
        with pytest.raises(NotFound, match="there is no flist"):
            await grid.node.post("/flists/names", {"flist": wanted, "name": "copy"})


async def test_digits_that_fit_several_flists_are_asked_back(
    grid: ApiGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = [LocalFlist(FlistId(bytes([1, n]) + bytes(30)), 1, ()) for n in (1, 2)]
    monkeypatch.setattr(FlistService, "local", lambda _: several)

    with pytest.raises(BadInput, match="'01' could be 2 flists"):
        await grid.node.post("/flists/names", {"flist": "01", "name": "copy"})


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"name": "UPPER"}, "does not name an flist"),
        ({"name": "3f9c/web:1"}, "publisher is this node"),
        ({"name": "ab" * 32}, "publisher is this node"),
        ({"name": "a" * 129}, "not an flist name"),
        ({"name": "web", "description": "x" * 257}, "longer than"),
        ({"name": "web", "description": "\x1b[2J"}, "control"),
    ],
)
async def test_a_name_that_cannot_be_is_refused_before_the_work(
    grid: ApiGrid, tree: Path, named: dict[str, str], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        await convert(grid, tree, **named)

    assert grid.node.services.flists is not None
    assert grid.node.services.flists.local() == []


async def test_sources_that_are_not_there_are_told(grid: ApiGrid, tree: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        await convert(grid, tree, source="docker-archive:/nonexistent.tar")
    with pytest.raises(BadInput, match="docker-archive"):
        await convert(grid, tree, source="floppy:a")


async def test_a_light_peer_keeps_no_chunks(grid: ApiGrid, tree: Path) -> None:
    with pytest.raises(BadInput, match="light peer"):
        await grid.consumer.messages("/flists", {"source": f"dir:{tree}"})
    with pytest.raises(BadInput, match="light peer"):
        await grid.consumer.post("/flists/names", {"flist": "00", "name": "web"})


async def test_what_is_here_is_pulled_at_once_and_seeded_until_it_is_stopped(
    grid: ApiGrid, tree: Path
) -> None:
    made = await convert(grid, tree, name="web:1")
    for seed in (False, True):
        pulled = await grid.node.result("/flists/pull", {"flist": "web:1", "seed": seed})
        assert pulled == {
            "flist": made["flist"],
            "content_bytes": 5,
            "chunks": 1,
            "fetched_bytes": 0,
            "given_bytes": {},
            "is_seeded": seed,
        }
    stop = {"flist": "web:1"}
    assert await grid.node.post("/flists/stop-seeding", stop) == {"flist": made["flist"]}
    with pytest.raises(NotFound, match="does not seed"):
        await grid.node.post("/flists/stop-seeding", stop)
    with pytest.raises(NotFound, match="no holder is known"):
        await grid.node.result("/flists/pull", {"flist": "00" * 32, "seed": False})
    for path in ("/flists/pull", "/flists/stop-seeding"):
        with pytest.raises(BadInput, match="light peer"):
            await grid.consumer.post(path, stop)
