"""Limits of the change from one epoch to the next."""

from p2pgrid.units import KIB, MIB, SECOND_MS

EPOCH_SECONDS_DEFAULT = 6 * 3600
"""An epoch of a new grid, unless its founder says otherwise: a stolen key is soon worth nothing,
and votes pause for seconds four times a day."""

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

BATCH_ANSWER_BYTES_MAX = 512 * KIB
"""Batches in one answer together; half a frame, so that the last one fits."""

CUT_OPERATIONS_MAX = 4_194_304
"""Operations of one epoch whose list is fetched: 128 MiB, 190 operations a second for 6 hours."""

EPOCH_ANSWER_SECONDS_MAX = 10.0
"""What is waited for one answer about an epoch; the other side may have to fetch what it lacks."""

EPOCH_FOLLOW_SECONDS = 2.0
"""Between two attempts to learn how an epoch ended, or what it held."""

EPOCH_FOLLOW_SECONDS_MAX = 30.0
"""The longest pause between two questions for an end that is late by our clock."""

EPOCH_ASKED_PEERS = 3
"""Peers asked in one attempt."""

EPOCH_LOOK_SECONDS_MIN = 0.3
"""Between two looks at what peers say of epochs, whatever they say."""

PROOF_EPOCHS_MAX = 100_000
"""Epochs that one payment proof goes over: 68 years of 6 hours."""

PROOF_OPERATIONS_MAX = 262_144
"""Operations of its epoch that a payment proof lists, 9 MiB; of a busier epoch it proves no end."""

PROOF_BYTES_MAX = 256 * MIB
"""A payment proof: with 31 witnesses 6 KiB for each epoch before it."""

PROOF_EPOCHS_TRIED = 8
"""Epochs back from now in which a light peer looks for an operation, of each full peer."""

ACKNOWLEDGE_SECONDS = 0.5
"""From a certificate to the question who stores it, and between two: gossip has brought it then."""

ACKNOWLEDGEMENTS_ASKED_MAX = 256
"""Batches that one witness is asked for at once; 9 KiB."""

UNACKNOWLEDGED_MAX = 10_000
"""Batches certified here that no quorum is known to store: more than a minute's."""

ACKNOWLEDGED_MAX = 100_000
"""Operations remembered as final before their epoch ends; the end says so of all."""
