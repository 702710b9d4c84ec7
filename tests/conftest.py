"""Shared set-up: how hard properties try, who may run as root, and that nothing is left behind."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.leftovers import leftovers, wait_until_gone

# A shell that runs us beside others lets us and our children ignore Ctrl-C, which tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("quick", max_examples=50, deadline=None)
settings.register_profile("thorough", max_examples=2000, deadline=None)
settings.load_profile("quick")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that needs root fails without it; skipping would look like passing."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.fail(
            "needs root; run as root, or leave such tests out by -m 'not root'", pytrace=False
        )


@pytest.fixture(scope="session")
def _clean_machine() -> Iterator[None]:
    """Fail when the session leaves mounts, namespaces, links, loops or cgroups behind."""
    before = leftovers()
    yield
    left = wait_until_gone(before)
    if left:
        pytest.fail("the tests left behind: " + ", ".join(sorted(left)), pytrace=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Only tests as root can leave something behind, so only they bring the guard."""
    for item in items:
        if item.get_closest_marker("root") and isinstance(item, pytest.Function):
            item.fixturenames.insert(0, "_clean_machine")
