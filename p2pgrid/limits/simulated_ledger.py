"""Sizes and times of simulated ledgers."""

from dataclasses import dataclass

WITNESS_COUNTS = (4, 7, 4, 1, 10, 4, 7, 4, 7, 31)
"""By the last digit of the seed, when nobody says how many: the fault bound of each is met exactly
(N = 3f + 1), and most runs are of those that cost little."""

WITNESSES_MAX = max(WITNESS_COUNTS)
"""The most that any seed gives: runs of more were never looked at."""

BYSTANDERS = 2
"""Nodes that are no witnesses, and take operations in and replicate like the others."""

LAST_ROUNDS = 4
"""How often everybody learns from everybody in the end: one end of an epoch in each."""

STEP_SECONDS = 0.5
"""How often a run looks whether it is over."""

DELAY_SECONDS = (0.005, 0.08)
"""Of a message one way; evenly spread, so that any two may overtake each other."""

LOSS = 0.1
"""Messages lost while there are faults."""

DUPLICATED = 0.05
"""Messages that arrive twice meanwhile; the second up to DUPLICATE_SECONDS later."""

DUPLICATE_SECONDS = 0.4
"""How late the second copy may be: after the answer to the first."""

FSYNC_SECONDS = 0.06
"""The longest that a disk takes; in between, power may fail."""

CRASHES = (2, 8)
"""Deaths of random nodes while there are faults, least and most."""

CRASH_AFTER_VOTE = 0.2
"""Votes for cheats whose witness loses power as they leave it: by then they must be durable."""

OUTAGE_SECONDS = 0.4
"""The longest that a dead node stays away."""

LOST_ANSWER_SECONDS = 0.6
"""When an asker notes that its question was lost: the stream breaks."""

LATE_ANSWER_SECONDS = 1.5
"""When it gives up on a witness that says nothing."""

PULL_SECONDS = 0.15
"""Between two comparisons of random peers; the grid is small, so that this is often."""

BROKEN_CLOCK_MS = 600_000
"""A faulty clock is wrong by so much: that witness refuses what is signed now, or all reclaims."""

PAYMENTS_PER_BALANCE = 20
"""So many of the largest payments an honest client can make, more than it does in any run."""

ATTACKS = 4
"""Double spends that the colluding witnesses try with split votes in one run."""

ATTACK_SECONDS = 1.5
"""The longest that the colluding witnesses wait for votes before they show what they have."""

START = 1_000_000
"""First balance of every account, in 10^-7 TFT: honest clients never run out."""

FEE = 10
"""The least fee, small beside every amount."""

WITH_EPOCHS = 0.5
"""Runs in which epochs end while there is load; they take thrice as long."""

LOOK_SECONDS = 0.2
"""How often a node looks whether an epoch has ended, and whether it has to lead a view."""


@dataclass(frozen=True, slots=True)
class Times:
    """What depends on whether epochs end in a run."""

    epoch_seconds: int
    """How long witnesses vote in one epoch."""
    epochs: int
    """So many must have ended before the run is over."""
    faults_seconds: float
    """Messages are lost and nodes die before; afterwards all heals, so that honest clients and
    agreements must come to an end."""
    run_seconds_max: float
    """By then every honest client is done, or the ledger is stuck."""
    clock_skew_ms: int
    """Clocks of honest nodes are wrong by up to so much either way."""
    operations_each: int
    """Of each honest client."""
    pause: tuple[float, float]
    """Seconds between two attempts of a client to get its operation certified."""


ONE_EPOCH = Times(
    epoch_seconds=86_400,
    epochs=0,
    faults_seconds=2.5,
    run_seconds_max=40.0,
    clock_skew_ms=30_000,
    operations_each=3,
    pause=(0.1, 0.5),
)
"""Eight longest retries of an entry node fit into a run; witnesses allow clocks 120 s."""

SHORT_EPOCHS = Times(
    epoch_seconds=3,
    epochs=2,
    faults_seconds=9.0,
    run_seconds_max=150.0,
    clock_skew_ms=500,
    operations_each=8,
    pause=(0.3, 1.2),
)
"""Two epochs end, the first of them among faults; six views of growing length fit into a run, more
than there are faulty leaders in a row. Clocks are as wrong, for epochs of seconds, as minutes are
for hours."""
