"""Documents: what is written is what is asked for; every mistake is named with its place."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadInput
from p2pgrid.limits.reservation import DOCUMENT_BYTES_MAX
from p2pgrid.model.flist import FlistReference
from p2pgrid.model.ids import FlistId
from p2pgrid.model.workload import Container, IpProtocol, Port, RestartPolicy
from p2pgrid.reservation.document import parse_document, read_document
from p2pgrid.units import GIB, MIB

WHOLE = """
duration = "2h"
grace = "1d"
price_max = "1.5"

[[container]]
name = "web"
image = "3f9c/web:1"
cores = 0.5
memory = "256M"
disk = "2G"
command = ["httpd", "-f"]
env = { NAME = "value" }
ports = [8080, "53/udp"]
restart = "on-failure"
user = "1000:1000"
read_only = true

[[container]]
name = "cache"
image = "cache"
"""
FLIST = FlistId(b"i" * 32)


def resolve(reference: FlistReference) -> FlistId:
    return FLIST


def test_everything_that_can_be_written_is_read() -> None:
    document = parse_document(WHOLE)

    assert document.duration_seconds == 7200
    assert document.grace_seconds == 86_400
    assert document.price_per_hour_max == 15_000_000
    assert document.workloads(resolve) == (
        Container(
            name="web",
            flist=FLIST,
            millicores=500,
            memory_bytes=256 * MIB,
            root_bytes=2 * GIB,
            command=("httpd", "-f"),
            env=(("NAME", "value"),),
            ports=(Port(number=8080), Port(number=53, protocol=IpProtocol.UDP)),
            restart=RestartPolicy.ON_FAILURE,
            user="1000:1000",
            read_only=True,
        ),
        Container(
            name="cache", flist=FLIST, millicores=1000, memory_bytes=512 * MIB, root_bytes=GIB
        ),
    )
    assert [one.image.tag for one in document.containers] == ["1", "latest"]


def test_plain_numbers_are_bytes_and_seconds() -> None:
    document = read_document(
        {"duration": 60, "container": [{"name": "a", "image": "a", "memory": 8 * MIB, "cores": 2}]}
    )

    (container,) = document.workloads(resolve)
    assert document.duration_seconds == 60
    assert isinstance(container, Container)
    assert (container.memory_bytes, container.millicores) == (8 * MIB, 2000)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('memory = "256M"', 'memroy = "256M"', "line 10, container 1, memroy: unknown key; did you "
         "mean 'memory'?"),
        ('price_max = "1.5"', 'colour = "red"', "line 4, colour: unknown key; known are duration"),
        ('memory = "256M"', 'memory = "much"', "line 10, container 1, memory: 'much' is not"),
        ('memory = "256M"', "memory = true", "line 10, container 1, memory: 'True' is not a size"),
        ('memory = "256M"', "memory = -5", "line 10, container 1, memory: '-5' is not a size"),
        ('memory = "256M"', 'memory = "1K"', "line 6, container 1: a container has at least 8 MiB"),
        ("cores = 0.5", 'cores = "two"', "line 9, container 1, cores: write a number of cores"),
        ("cores = 0.5", "cores = nan", "line 9, container 1, cores: write a number of cores"),
        ('duration = "2h"', 'duration = "2"', "line 2, duration: '2' is not a duration"),
        ('duration = "2h"', 'duration = "1s"', "line 2, duration: a reservation lasts"),
        ('duration = "2h"', "", "'duration' is missing"),
        ('price_max = "1.5"', 'price_max = "-1"', "line 4, price_max: '-1' is not an amount"),
        ('name = "cache"', 'name = "web"', "line 7, container 1, name: 'web' is the name of two"),
        ('name = "cache"', 'name = "Cache"', "line 19, container 2: 'Cache' is not a work"),
        ('name = "cache"', "", "line 19, container 2: 'name' is missing"),
        ('image = "cache"', 'image = "a b"', "line 21, container 2, image: 'a b' does not name"),
        ('"on-failure"', '"on-failur"', "restart: 'on-failur' is not known; did you mean 'on-fail"),
        ('["httpd", "-f"]', '"httpd -f"', "line 12, container 1, command: write a list of texts"),
        ('{ NAME = "value" }', "{ NAME = 5 }", "line 13, container 1, env: write a table of texts"),
        ('"53/udp"', '"53/sctp"', "line 14, container 1, ports: '53/sctp' is not a port"),
        ("8080", "80800", "line 14, container 1, ports: port 80800 is not one of 1 to 65535"),
        ("read_only = true", "read_only = 1", "line 17, container 1, read_only: write true or"),
        ("[[container]]\nname = \"web\"", "[container]\nname = \"web\"", "not TOML: .*line 19"),
        ("duration = ", "duration ", "not TOML: .*line 2"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_place(old: str, new: str, message: str) -> None:
    with pytest.raises(BadInput, match=message.replace("?", r"\?")):
        parse_document(WHOLE.replace(old, new))


def test_a_document_without_containers_is_refused() -> None:
    with pytest.raises(BadInput, match=r"\[\[container\]\]"):
        parse_document('duration = "1h"')
    with pytest.raises(BadInput, match="two pairs of brackets"):
        parse_document('duration = "1h"\n[container]\nname = "a"')


def test_a_huge_document_is_refused_unread() -> None:
    with pytest.raises(BadInput, match="longer than"):
        parse_document("#" * (DOCUMENT_BYTES_MAX + 1))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["container", "duration", "name", "image", "cores", "env", "ports"]
                ),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_whatever_is_written_is_read_or_refused(value: object) -> None:
    values = value if isinstance(value, dict) else {"duration": 60, "container": [value]}
    with suppress(BadInput):  # anything else would reach the person as a traceback
        assert read_document(values).containers
