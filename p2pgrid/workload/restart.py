"""Whether and when a container that ended is started again."""

from p2pgrid.limits import workload as limits
from p2pgrid.model.workload import RestartPolicy


def restart_delay_seconds(
    policy: RestartPolicy, exit_code: int | None, failures: int
) -> float | None:
    """How long to wait before the next start; None when there is to be none.

    Args:
        policy: what the consumer asked for.
        exit_code: None when it ended unseen, while no node program ran: counts as a failure.
        failures: how often in a row it ended soon after its start, this time included.
    """
    match policy:
        case RestartPolicy.NEVER:
            return None
        case RestartPolicy.ON_FAILURE if exit_code == 0:
            return None
        case RestartPolicy.ON_FAILURE | RestartPolicy.ALWAYS:
            doubled = limits.RESTART_SECONDS_MIN * 2.0 ** min(max(failures - 1, 0), 30)
            return min(doubled, limits.RESTART_SECONDS_MAX)
