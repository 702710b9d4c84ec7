"""Who a process is, by files of the image that may hold anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadImage
from p2pgrid.workload.accounts import ID_MAX, Identity, identify

PASSWD = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:34::/srv:/bin/sh\nhuge:x:70000:0::/:\n"
GROUP = "root:x:0:\nlogs:x:40:web,other\nweb:x:34:web\n"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", Identity(uid=0, gid=0, home="/root")),
        ("root", Identity(uid=0, gid=0, home="/root")),
        ("web", Identity(uid=33, gid=34, groups=(40,), home="/srv")),
        ("33", Identity(uid=33, gid=34, groups=(40,), home="/srv")),
        ("web:logs", Identity(uid=33, gid=40, home="/srv")),
        ("5:6", Identity(uid=5, gid=6)),
        ("5", Identity(uid=5, gid=0)),
    ],
)
def test_names_and_numbers(user: str, expected: Identity) -> None:
    assert identify(user, passwd=PASSWD, group=GROUP) == expected


@pytest.mark.parametrize(
    "user", ["nobody", "web:nobody", "70000", "huge", "5:70000", "-1", "1" * 5000]
)
def test_users_that_make_no_sense_are_refused(user: str) -> None:
    with pytest.raises(BadImage):
        identify(user, passwd=PASSWD, group=GROUP)


@given(
    st.sampled_from(["", "a", "1", "a:b", "²", ":"]),
    st.text("ab:12\n,²", max_size=60),
    st.text("ab:12\n,²", max_size=60),
)
def test_any_files_give_an_identity_in_range_or_are_refused(
    user: str, passwd: str, group: str
) -> None:
    try:
        found = identify(user, passwd=passwd, group=group)
    except BadImage:
        return
    assert all(0 <= number <= ID_MAX for number in (found.uid, found.gid, *found.groups))
