"""Limits of the change from one epoch to the next."""

from p2pgrid.units import SECOND_MS

EPOCH_SETTLE_MS = 1_500
"""From the end of an epoch, when witnesses stop voting, to the moment when each closes its
books: certificates that are being put together get to them."""

EPOCH_FREEZE_MS_MAX = 20 * SECOND_MS
"""How long witnesses vote for nothing; an agreement that takes longer blocks no payment."""

EPOCH_VIEW_MS_MIN = 3 * SECOND_MS
"""How long the first leader has: three rounds of messages, and lists to be compared."""

EPOCH_VIEW_MS_MAX = 60 * SECOND_MS
"""Views get longer, up to this: every witness sees to it that the next leader gets its turn."""

EPOCH_VIEW_AHEAD = 1
"""Views that a leader's clock may be ahead of a witness's."""

EPOCH_PATIENCE_MS = 700
"""How long a leader waits for witnesses that have not answered, once a quorum has."""

REPORT_BYTES_MAX = 512
"""A signed report: four hashes and a signature."""

CUTS_KNOWN_MAX = 32
"""Sets of operations of one epoch that are remembered beside what is held; one per view matters."""

CUT_IDS_PER_ANSWER = 16_384
"""Operation ids in one answer, 560 KiB."""

EPOCHS_PER_ANSWER = 32
"""Epoch certificates in one answer: 22 KiB each with 128 witnesses, 700 KiB."""

BATCHES_ASKED_MAX = 64
"""Operations whose batches are asked for at once."""
