"""What travels or rests is what `grid.cddl` says, and nothing else is in it."""

import re
from functools import cache
from importlib.resources import files

import cbor2
import pycddl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pgrid.wire.codec import encode
from tests.strategies import values
from tests.wire.proposal import parts_of, proposed_rule
from tests.wire.travelling import rule_name, travelling_classes

PAGE = files("p2pgrid.wire").joinpath("grid.cddl").read_text()
# The names of array members mean nothing, but pycddl takes one that is also a rule for that rule.
TEXT = re.sub(r"\b[a-z0-9_]+: ", "", re.sub(r";.*", "", PAGE))
RULES = set(re.findall(r"^([a-z][a-z0-9.-]*)\s*=", TEXT, re.MULTILINE))
CLASSES = travelling_classes()


@cache
def schema(cls: type) -> pycddl.Schema:
    """CDDL validates against the first rule, so the one under test goes there."""
    missing = [part for part in parts_of(cls) if rule_name(part) not in RULES]
    if missing:
        proposals = "\n".join(map(proposed_rule, missing))
        pytest.fail(
            f"put into p2pgrid/wire/grid.cddl, with its limits:\n{proposals}", pytrace=False
        )
    return pycddl.Schema(f"start = {rule_name(cls)}\n{TEXT}")


@pytest.mark.parametrize("cls", CLASSES, ids=rule_name)
@given(data=st.data())
@settings(max_examples=15)
def test_instances_match_their_rule(cls: type, data: st.DataObject) -> None:
    rule = schema(cls)
    encoded = encode(data.draw(values(cls)))
    rule.validate_cbor(encoded)

    shorter = cbor2.loads(encoded)[:-1]
    with pytest.raises(pycddl.ValidationError):
        rule.validate_cbor(cbor2.dumps(shorter))


def test_no_two_classes_share_a_rule() -> None:
    parts = {part for cls in CLASSES for part in parts_of(cls)}
    assert len({rule_name(part) for part in parts}) == len(parts)


def test_every_rule_is_used() -> None:
    of_classes = {rule_name(part) for cls in CLASSES for part in parts_of(cls)}
    used = {
        rule
        for rule in RULES - of_classes
        if len(re.findall(rf"(?<![\w.-]){re.escape(rule)}(?![\w.-])", TEXT)) > 1
    }

    unused = RULES - of_classes - used
    assert not unused, "take these out of grid.cddl"
