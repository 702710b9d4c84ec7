"""Queries are read strictly: whatever a stranger writes is a value or a refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadInput
from p2pgrid.gridproxy.parameters import Value, read_query, require_known
from p2pgrid.limits.gridproxy import FIELDS_MAX


def test_fields_are_decoded() -> None:
    fields = read_query("a=%C3%A9+x&b=1,2&b=3&c=")
    assert fields["a"].text() == "é x"
    assert fields["b"].texts() == ("1", "2", "3")
    assert fields["c"].given == ("",)


@pytest.mark.parametrize("query", ["a=%ff", "&".join(f"a{n}=1" for n in range(FIELDS_MAX + 1))])
def test_a_query_that_is_none_is_refused(query: str) -> None:
    with pytest.raises(BadInput, match="not UTF-8, or has more than"):
        read_query(query)


def test_what_is_not_known_is_refused_by_name() -> None:
    known, refused = ("country", "city"), {"region": "nobody says it"}
    require_known(read_query("city=x"), known, refused)
    for query, message in (
        ("region=x", "region: nobody says it"),
        ("citty=x", "there is no 'citty' here; did you mean city"),
        ("zzz=x", "there are country, city"),
        ("%1b%5b2J=x", r"no '.x1b.2J' here"),
    ):
        with pytest.raises(BadInput, match=message):
            require_known(read_query(query), known, refused)
    with pytest.raises(BadInput, match="there are none"):
        require_known(read_query("a=1"), (), {})


@given(
    st.text(max_size=50), st.sampled_from(("whole", "decimal", "flag", "texts", "named", "text"))
)
def test_any_text_is_a_value_or_a_refusal(text: str, kind: str) -> None:
    found = None
    try:
        found = getattr(Value("field", (text,)), kind)()
    except BadInput as error:
        found = str(error) if "field" in str(error) else None
    assert found is not None


def test_numbers_are_what_they_look_like() -> None:
    assert Value("n", ("007",)).whole() == 7
    assert Value("n", ("1.5",)).decimal() == 1.5
    assert Value("n", ("TRUE",)).flag()
    assert Value("n", ("b,A",)).choices(("a", "b")) == {"a", "b"}
    with pytest.raises(BadInput, match="from 1 to 3"):
        Value("n", ("4",)).whole(least=1, most=3)
    with pytest.raises(BadInput, match="lists more than 2"):
        Value("n", ("1,2,3",)).texts(most=2)
