"""What light peers ask full ones. Answers are signed records: they can be withheld, not forged.

A page holds whole rows: a node's row is its announcement, its update and its
farm's records, and a proof about each of both that is known to lie; each once. The asker puts
the records of several peers into a view of its own and asks that.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from p2pgrid.crdt.register import RegisterKey
from p2pgrid.errors import BrokenProtocol, InvalidRecord
from p2pgrid.explorer.proofs import unknown_to
from p2pgrid.explorer.query import NodeFilter, NodeSort
from p2pgrid.explorer.records import envelope_of
from p2pgrid.explorer.selection import Cut
from p2pgrid.explorer.view import View
from p2pgrid.limits.crdt import RECONCILE_ANSWER_BYTES_MAX
from p2pgrid.limits.explorer import (
    CONTRADICTIONS_MAX,
    FARM_MEMBERS_BYTES_MAX,
    PROOF_HASH_BYTES,
    PROOFS_ANSWER_BYTES_MAX,
    QUERY_ROWS_MAX,
)
from p2pgrid.model.ids import FlistId, require_ids, require_text
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import variant
from p2pgrid.wire.kinds import RecordKind

_TEXT_BYTES_MAX = 128


@variant(1)
@dataclass(frozen=True, slots=True)
class AskNodes:
    """Asks for nodes."""

    wanted: NodeFilter
    sort: NodeSort
    is_reversed: bool = False


@variant(2)
@dataclass(frozen=True, slots=True)
class AskFarms:
    """Asks for farms by name or first hex digits of the id; empty for all."""

    wanted: str

    def __post_init__(self) -> None:
        require_text(self.wanted, "farm", bytes_max=_TEXT_BYTES_MAX)


@variant(3)
@dataclass(frozen=True, slots=True)
class AskFlistNames:
    """Asks for names of flists by title; empty for all."""

    title: str

    def __post_init__(self) -> None:
        require_text(self.title, "title", bytes_max=_TEXT_BYTES_MAX)


@variant(4)
@dataclass(frozen=True, slots=True)
class AskHolders:
    """Asks which nodes can serve an flist."""

    flist: FlistId

    def __post_init__(self) -> None:
        require_ids(self.flist)


@variant(5)
@dataclass(frozen=True, slots=True)
class Submit:
    """Hands in a record of the asker's own, to be stored and spread."""

    envelope: bytes


@variant(6)
@dataclass(frozen=True, slots=True)
class AskProofs:
    """Asks for proofs that authors told different things at once; see `proofs`."""

    known: bytes
    """Short hashes of the registers of which the asker has one."""

    def __post_init__(self) -> None:
        if len(self.known) > CONTRADICTIONS_MAX * PROOF_HASH_BYTES:
            raise InvalidRecord("more hashes than there may be proofs")


Question = AskNodes | AskFarms | AskFlistNames | AskHolders


@dataclass(frozen=True, slots=True)
class Query:
    """What a light peer sends."""

    question: AskNodes | AskFarms | AskFlistNames | AskHolders | AskProofs | Submit
    skip: int = 0
    """Rows that it has already."""


@dataclass(frozen=True, slots=True)
class Page:
    """The answer: envelopes of the next rows."""

    records: tuple[bytes, ...] = ()
    """Records, and proofs that their authors told different things at once."""
    rows: int = 0
    """How many rows this page covers."""
    rows_left: int = 0
    """How many more there are after it."""


def page_of(view: View, question: Question, skip: int, now_ms: TimestampMs) -> Page:
    """Answer from the view: at most QUERY_ROWS_MAX rows and RECONCILE_ANSWER_BYTES_MAX.

    Raises:
        BrokenProtocol: it skips more rows than there are.
    """
    rows, total = _page(view, question, skip, now_ms)
    if skip > total:
        raise BrokenProtocol(f"{skip} rows skipped of {total}")
    records: dict[bytes, None] = {}
    size_bytes, taken = 0, 0
    for row in rows:
        new = {one: None for one in _envelopes(view, row) if one not in records}
        size_bytes += sum(map(len, new))
        if taken and size_bytes > RECONCILE_ANSWER_BYTES_MAX:
            break
        records |= new
        taken += 1
    return Page(tuple(records), taken, total - skip - taken)


def page_of_proofs(view: View, known: bytes, skip: int) -> Page:
    """Answer with proofs, as many as fit; one in any case.

    Raises:
        BrokenProtocol: it skips more than there are.
    """
    envelopes = list(unknown_to(view.contradictions, known))
    if skip > len(envelopes):
        raise BrokenProtocol(f"{skip} proofs skipped of {len(envelopes)}")
    page: list[bytes] = []
    for envelope in envelopes[skip:]:
        if page and sum(map(len, page)) + len(envelope) > PROOFS_ANSWER_BYTES_MAX:
            break
        page.append(envelope)
    return Page(tuple(page), len(page), len(envelopes) - skip - len(page))


def _envelopes(view: View, row: tuple[RegisterKey, ...]) -> Iterator[bytes]:
    """What is held of a row, and of those who say it that they lie."""
    for key in row:
        signed = view.get(key)
        if signed is not None:
            yield signed.envelope
    for author in dict.fromkeys(key.author for key in row):
        proof = view.contradictions.of_author(author)
        if proof is not None:
            envelope = envelope_of(proof)
            if len(envelope) <= FARM_MEMBERS_BYTES_MAX:  # longer ones are no records to anybody
                yield envelope


def _page(
    view: View, question: Question, skip: int, now_ms: TimestampMs
) -> tuple[list[tuple[RegisterKey, ...]], int]:
    """The registers that make up each of the next rows, and how many rows there are in all."""
    if isinstance(question, AskNodes):
        cut = Cut(question.sort, question.is_reversed, skip, QUERY_ROWS_MAX)
        page = view.page(question.wanted, cut, now_ms=now_ms)
        return [(*_of_node(one.node), *_of_farm(one.farm)) for one in page.rows], page.total
    rows = list(_rows(view, question, now_ms))
    return rows[skip : skip + QUERY_ROWS_MAX], len(rows)


def _rows(
    view: View, question: AskFarms | AskFlistNames | AskHolders, now_ms: TimestampMs
) -> Iterator[tuple[RegisterKey, ...]]:
    """The registers that make up each row of the answer."""
    match question:
        case AskFarms():
            for farm in view.farms(question.wanted, now_ms=now_ms):
                yield _of_farm(farm.farm)
        case AskFlistNames():
            for name in view.flist_names(question.title, now_ms=now_ms):
                yield (
                    RegisterKey(RecordKind.FLIST_NAME, name.publisher, name.name),
                    RegisterKey(RecordKind.FARM_RECORD, name.publisher, b""),
                )
        case AskHolders():
            for holder in view.holders(question.flist, now_ms=now_ms):
                yield (RegisterKey(RecordKind.HOLDINGS, holder, b""), *_of_node(holder))


def _of_node(node: bytes) -> tuple[RegisterKey, ...]:
    return (
        RegisterKey(RecordKind.NODE_ANNOUNCEMENT, node, b""),
        RegisterKey(RecordKind.CAPACITY_UPDATE, node, b""),
    )


def _of_farm(farm: bytes) -> tuple[RegisterKey, ...]:
    return (
        RegisterKey(RecordKind.FARM_RECORD, farm, b""),
        RegisterKey(RecordKind.FARM_MEMBERS, farm, b""),
    )
