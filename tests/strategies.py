"""Hypothesis strategies for everything that travels, derived from the types of the fields.

`values(cls)` makes instances of any record or message. A class whose rules say
more than its types has its narrower fields in `FIELDS`; where one field depends
on another, its whole strategy is in `WHOLE`. A class that refuses what is made
for it fails the test with a hint to add it here.
"""

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import IntEnum
from functools import cache, partial
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from p2pgrid.chunks.messages import ChunkAnswer, ChunkRequest, FlistAnswer, Served
from p2pgrid.crdt.messages import Compare, Differs
from p2pgrid.errors import InvalidRecord
from p2pgrid.ledger.epoch_keys import EpochSecret
from p2pgrid.ledger.epoch_messages import AcknowledgeQuery, AcknowledgeReport, BatchesQuery
from p2pgrid.ledger.messages import HistoryQuery
from p2pgrid.limits.chunks import CHUNK_BLOB_BYTES_MAX, FLIST_BYTES_MAX
from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.certificate import (
    Certificate,
    CertifiedBatch,
    CertifiedOperation,
    Equivocation,
    ProvenVote,
    VoteRequest,
)
from p2pgrid.model.epoch import EpochProposal, EpochQuorum, EpochReport, Seat
from p2pgrid.model.farm import FarmRecord
from p2pgrid.model.flist import FlistName
from p2pgrid.model.genesis import FarmingPolicy, Genesis, PricingPolicy
from p2pgrid.model.ids import one_line
from p2pgrid.model.node import (
    LATITUDE_SPAN_MICRODEGREES,
    LONGITUDE_SPAN_MICRODEGREES,
    PRICE_PERMILLE_MAX,
    PRICE_PERMILLE_MIN,
    Feature,
    Location,
    NodeAnnouncement,
)
from p2pgrid.model.operation import (
    NO_PREVIOUS,
    OpenEscrow,
    Operation,
    SettleEscrow,
    Transfer,
)
from p2pgrid.model.reservation import (
    DURATION_SECONDS_MAX,
    DURATION_SECONDS_MIN,
    ReservationRequest,
    Signer,
)
from p2pgrid.model.workload import Container, Port, Volume
from p2pgrid.net.spread_messages import Announce, Pull
from p2pgrid.units import MIB

Values = SearchStrategy[Any]

ids: Values = st.binary(min_size=32, max_size=32)
signatures: Values = st.binary(min_size=64, max_size=64)
nonces: Values = st.binary(min_size=16, max_size=16)
integers: Values = st.integers(0, INTEGER_MAX)
times_ms: Values = st.integers(0, 2**48)
texts = st.text(max_size=12).map(partial(one_line, bytes_max=48))
amounts: Values = st.integers(0, 10**16)
some_amounts: Values = st.integers(1, 10**16)
price_permilles: Values = st.integers(PRICE_PERMILLE_MIN, PRICE_PERMILLE_MAX)
names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,35}", fullmatch=True)
capacities = st.builds(Capacity, **dict.fromkeys(Capacity.__dataclass_fields__, integers))

BY_NAME: dict[str, Values] = {
    "NodeId": ids,
    "AccountId": ids,
    "FarmId": ids,
    "ChunkId": ids,
    "FlistId": ids,
    "RecordId": ids,
    "NetworkId": nonces,
    "TimestampMs": times_ms,
    "Amount": amounts,
}
"""What a NewType promises beyond the type that it is."""

BY_FIELD: dict[str, Values] = {
    "signature": signatures,
    "other_signature": signatures,
    "nonce": nonces,
    "root": ids,
    "witness_set_hash": ids,
    "operations_root": ids,
    "snapshot_root": ids,
    "closed_root": ids,
    "beacon": ids,
    "commitment": ids,
    "next_key": ids,
    "terms_hash": ids,
    "port4": st.integers(0, 65535),
    "port6": st.integers(0, 65535),
    "token": ids,
    "key": ids,
    "price_permille": price_permilles,
}
"""Fields that mean the same in every class."""

_flist_names = st.from_regex(r"[a-z0-9]+([._/-][a-z0-9]+)?", fullmatch=True).filter(
    lambda name: len(name) <= 128
)
_environment = st.tuples(st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True), texts)
_batches = st.lists(st.binary(max_size=64), min_size=1, max_size=3).map(tuple)
_places: dict[str, Values] = {
    "index": st.integers(0, 99),
    "count": st.integers(100, 200),
    "path": st.lists(ids, max_size=8).map(tuple),
}

_id_lists = st.lists(ids, max_size=3).map(tuple)
_item_ids = st.lists(st.binary(min_size=8, max_size=8), max_size=3).map(tuple)


@st.composite
def _seats(draw: st.DrawFn) -> tuple[Seat, ...]:
    named = draw(st.dictionaries(ids, some_amounts, min_size=1, max_size=4))
    return tuple(
        Seat(node=node, key=key, weight=named[node], commitment=draw(ids))
        for node, key in zip(sorted(named), sorted(named, reverse=True), strict=True)
    )


FIELDS: dict[type, dict[str, Values]] = {
    Location: {
        "latitude_microdegrees": st.integers(0, LATITUDE_SPAN_MICRODEGREES),
        "longitude_microdegrees": st.integers(0, LONGITUDE_SPAN_MICRODEGREES),
    },
    NodeAnnouncement: {
        "features": st.lists(st.sampled_from(Feature), unique=True).map(tuple),
    },
    FarmRecord: {"title": texts.filter(bool)},
    FlistName: {
        "title": _flist_names,
        "tag": st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True),
    },
    Announce: {"ids": _item_ids},
    Pull: {"ids": _item_ids},
    PricingPolicy: {"tft_usd": some_amounts, "farm_permille": st.integers(0, 1000)},
    FarmingPolicy: {"period_seconds": some_amounts},
    Transfer: {
        "outputs": st.lists(st.tuples(ids, some_amounts), min_size=1, max_size=3).map(tuple),
        "memo": st.binary(max_size=64),
    },
    SettleEscrow: {"evidence": ids},
    Certificate: {
        "signers": st.binary(max_size=16),
        "signatures": st.lists(signatures, max_size=3).map(tuple),
    },
    CertifiedBatch: {"operations": _batches},
    EpochReport: {"reveal": st.just(b"") | ids},
    EpochSecret: {"seed": ids, "reveal": ids},
    EpochProposal: {"seats": _seats()},
    EpochQuorum: {
        "signers": st.binary(max_size=16),
        "signatures": st.lists(signatures, max_size=3).map(tuple),
    },
    Seat: {"weight": some_amounts},
    AcknowledgeQuery: {"batches": _id_lists},
    AcknowledgeReport: {"batches": _id_lists},
    BatchesQuery: {"operations": st.lists(ids, min_size=1, max_size=3).map(tuple)},
    VoteRequest: {"operations": _batches},
    CertifiedOperation: _places,
    Equivocation: {"slot": ids},
    ProvenVote: _places,
    HistoryQuery: {"limit": st.integers(1, 500)},
    Compare: {"root": nonces, "nonce": st.binary(min_size=8, max_size=8)},
    Differs: {"hints": nonces},
    ChunkRequest: {"chunks": st.lists(ids, min_size=1, max_size=3).map(tuple)},
    Served: {"blob_bytes": st.integers(0, CHUNK_BLOB_BYTES_MAX)},
    FlistAnswer: {"body_bytes": st.integers(0, FLIST_BYTES_MAX)},
    Port: {"number": st.integers(1, 65535)},
    Signer: {"weight": st.integers(0, 100)},
    Container: {
        "name": names,
        "millicores": st.integers(10, 1024_000),
        "memory_bytes": st.integers(8 * MIB, INTEGER_MAX),
        "root_bytes": st.integers(MIB, INTEGER_MAX),
        "env": st.lists(_environment, max_size=3).map(tuple),
    },
    Volume: {"name": names, "size_bytes": st.integers(MIB, INTEGER_MAX)},
}


@st.composite
def _genesis(draw: st.DrawFn) -> Genesis:
    weights = st.dictionaries(ids, st.integers(1, 2**32), min_size=1, max_size=4)
    return Genesis(
        name=draw(st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True)),
        created_ms=draw(times_ms),
        nonce=draw(nonces),
        witnesses=tuple(sorted(draw(weights).items())),
        balances=tuple(sorted(draw(st.dictionaries(ids, amounts, max_size=4)).items())),
        pricing=draw(values(PricingPolicy)),
        farming=draw(values(FarmingPolicy)),
        epoch_seconds=draw(some_amounts),
        seeds=tuple(draw(st.lists(texts, max_size=3))),
    )


@st.composite
def _open_escrows(draw: st.DrawFn) -> OpenEscrow:
    starts_at_ms = draw(times_ms)
    return OpenEscrow(
        farm=draw(ids),
        node=draw(ids),
        deposit=draw(some_amounts),
        price_per_hour=draw(amounts),
        starts_at_ms=starts_at_ms,
        ends_at_ms=starts_at_ms + draw(st.integers(1, 2**40)),
        grace_seconds=draw(st.integers(0, 2**32)),
        terms_hash=draw(ids),
    )


@st.composite
def _operations(draw: st.DrawFn) -> Operation:
    sequence = draw(st.integers(0, 3) | integers)
    return Operation(
        account=draw(ids),
        sequence=sequence,
        previous=draw(ids.filter(lambda one: one != NO_PREVIOUS)) if sequence else NO_PREVIOUS,
        time_ms=draw(times_ms),
        fee=draw(amounts),
        payload=draw(values(get_type_hints(Operation)["payload"])),
    )


@st.composite
def _requests(draw: st.DrawFn) -> ReservationRequest:
    workloads = st.lists(
        values(Container) | values(Volume), min_size=1, max_size=3, unique_by=lambda one: one.name
    )
    return ReservationRequest(
        consumer=draw(ids),
        node=draw(ids),
        nonce=draw(nonces),
        valid_until_ms=draw(times_ms),
        starts_at_ms=draw(times_ms),
        duration_seconds=draw(st.integers(DURATION_SECONDS_MIN, DURATION_SECONDS_MAX)),
        grace_seconds=draw(st.integers(0, 2**32)),
        workloads=tuple(draw(workloads)),
        signers=tuple(draw(st.lists(values(Signer), max_size=3))),
        weight_needed=draw(st.integers(0, 100)),
    )


def _chunk_answers() -> Values:
    one = st.builds(Served, chunk=ids, blob_bytes=st.integers(0, 10_000))
    served = st.lists(one, min_size=1, max_size=3, unique_by=lambda served: served.chunk)
    return served.map(tuple).map(ChunkAnswer)


WHOLE: dict[type, Callable[[], Values]] = {
    ChunkAnswer: _chunk_answers,
    Genesis: _genesis,
    OpenEscrow: _open_escrows,
    Operation: _operations,
    ReservationRequest: _requests,
}


@cache
def values(wanted: Any) -> Values:
    """A strategy for any type that can stand in a record."""
    if getattr(wanted, "__name__", "") in BY_NAME:
        return BY_NAME[wanted.__name__]
    while hasattr(wanted, "__supertype__"):
        wanted = wanted.__supertype__
    simple = {int: integers, str: texts, bytes: st.binary(max_size=64), bool: st.booleans()}
    if wanted in simple:
        return simple[wanted]
    if isinstance(wanted, type) and issubclass(wanted, IntEnum):
        return st.sampled_from(wanted)
    if is_dataclass(wanted):
        return _instances(cast(type, wanted))
    return _composed(wanted)


def _composed(wanted: Any) -> Values:
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if origin in (types.UnionType, Union):
        return st.one_of([st.none() if one is type(None) else values(one) for one in arguments])
    raise TypeError(f"{wanted} cannot stand in a record")


def _instances(cls: type) -> Values:
    if cls in WHOLE:
        return WHOLE[cls]()
    hints = get_type_hints(cls)
    narrow = {**BY_FIELD, **FIELDS.get(cls, {})}
    columns = {
        field.name: narrow[field.name] if field.name in narrow else values(hints[field.name])
        for field in fields(cast(Any, cls))
    }

    def build(drawn: dict[str, Any]) -> Any:
        try:
            return cls(**drawn)
        except InvalidRecord as error:
            raise AssertionError(
                f"{cls.__name__} refuses what its types allow: {error}. "
                "Add what it takes to FIELDS or WHOLE in tests/strategies.py"
            ) from error

    return st.fixed_dictionaries(columns).map(build)
