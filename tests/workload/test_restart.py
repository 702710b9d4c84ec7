"""When a container is started again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.limits import workload as limits
from p2pgrid.model.workload import RestartPolicy
from p2pgrid.workload.restart import restart_delay_seconds


@pytest.mark.parametrize(
    ("policy", "exit_code", "is_restarted"),
    [
        (RestartPolicy.NEVER, 1, False),
        (RestartPolicy.NEVER, None, False),
        (RestartPolicy.ON_FAILURE, 0, False),
        (RestartPolicy.ON_FAILURE, 1, True),
        (RestartPolicy.ON_FAILURE, None, True),
        (RestartPolicy.ALWAYS, 0, True),
    ],
)
def test_policies(policy: RestartPolicy, exit_code: int | None, is_restarted: bool) -> None:
    assert (restart_delay_seconds(policy, exit_code, failures=1) is not None) == is_restarted


@given(st.integers(0, 10**9))
def test_waits_grow_to_a_limit(failures: int) -> None:
    before = restart_delay_seconds(RestartPolicy.ALWAYS, 1, failures)
    after = restart_delay_seconds(RestartPolicy.ALWAYS, 1, failures + 1)

    assert before is not None
    assert after is not None
    assert limits.RESTART_SECONDS_MIN <= before <= after <= limits.RESTART_SECONDS_MAX
