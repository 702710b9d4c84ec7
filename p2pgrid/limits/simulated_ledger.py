"""Sizes and times of simulated ledgers."""

WITNESS_COUNTS = (4, 7, 4, 1, 10, 4, 7, 4, 7, 31)
"""By the last digit of the seed, when nobody says how many: the fault bound of each is met exactly
(N = 3f + 1), and most runs are of those that cost little."""

BYSTANDERS = 2
"""Nodes that are no witnesses, and take operations in and replicate like the others."""

FAULTS_SECONDS = 2.5
"""Messages are lost and nodes die before; afterwards all heals, so that honest clients must come
to an end."""

RUN_SECONDS_MAX = 40.0
"""By then every honest client is done, or the ledger is stuck. Eight longest retries of an entry
node fit."""

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

CLOCK_SKEW_MS = 30_000
"""Clocks of all nodes are wrong by up to so much either way; witnesses allow 120 s."""

BROKEN_CLOCK_MS = 600_000
"""A faulty clock is wrong by so much: that witness refuses what is signed now, or all reclaims."""

CLIENT_PAUSE_SECONDS = (0.1, 0.5)
"""Between two attempts of a client to get its operation certified."""

OPERATIONS_EACH = 3
"""Of each honest client in one run."""

ATTACKS = 4
"""Double spends that the colluding witnesses try with split votes in one run."""

ATTACK_SECONDS = 1.5
"""The longest that the colluding witnesses wait for votes before they show what they have."""

START = 1_000_000
"""First balance of every account, in 10^-7 TFT: honest clients never run out."""

FEE = 10
"""The least fee, small beside every amount."""
