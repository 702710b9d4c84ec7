"""Limits of the ledger."""

from p2pgrid.units import HOUR_MS, KIB, MIB, SECOND_MS

OPERATION_BYTES_MAX = 4 * KIB
"""A signed operation: a transfer with the most outputs has 2.8 KiB."""

OPERATIONS_PER_BATCH_MAX = 200
"""Operations under one certificate: 200 transfers of 210 bytes fit one gossip message."""

BATCH_OPERATION_BYTES_MAX = 48 * KIB
"""Operations of one batch together; leaves room for 128 signatures within GOSSIP_BYTES_MAX."""

THREAD_OPERATIONS_MIN = 5
"""Signatures that are worth a thread: below, the hop costs more than it gives back."""

BATCH_INTERVAL_MS = 100
"""How long an entry node gathers operations: one witness signature is shared by all of them."""

CLOCK_AHEAD_MS_MAX = 120_000
"""How far an operation's time may be ahead of a witness's clock."""

CANCEL_NOTICE_MS = 120_000
"""What a node may still bill after a cancel was certified: gossip takes seconds, and a
settlement that it signed before it heard of the cancel must stay certifiable."""

RECLAIM_DELAY_MS = 24 * HOUR_MS
"""After the end and the grace of an escrow, before its consumer may take everything back."""

SETTLE_MARGIN_MS = HOUR_MS
"""So long before that moment a node signs no settlement any more: the two must never race."""

VIEW_AGE_SECONDS_MAX = 60.0
"""A node signs a settlement only when it was level with a peer so lately: half CANCEL_NOTICE_MS."""

GRACE_SECONDS_MAX = 30 * 24 * 3600
"""Longest grace of an escrow: a deposit must not be locked for ever by a mistyped number."""

OPERATIONS_UNDER_WAY_MAX = 64
"""Of one account, voted for and not certified; wallets have one."""

ENTRY_OPERATIONS_MAX = 10_000
"""Operations that an entry node holds at once; more are refused as busy."""

ENTRY_PROPOSALS_MAX = 16
"""Batches that an entry node has under way at once."""

SUBMIT_SECONDS_MAX = 20.0
"""What a submitter waits for a certificate before it is told that too few witnesses answer."""

PROPOSAL_PATIENCE_MS = 300
"""How long an entry node waits for slow witnesses when those that answered disagree."""

REFUSED_RETRY_MS = 400
"""Until a witness that was behind is asked again: time to fetch what it lacked."""

WITNESS_ANSWER_SECONDS_MAX = 5.0
"""What an entry node waits for one witness: a batch takes 20 ms and one fsync."""

WITNESS_RETRY_MS_MIN = 200
"""First pause before a witness that did not answer is asked again; doubles."""

WITNESS_RETRY_MS_MAX = 5_000
"""Longest such pause: a restarted witness is back in use after as long."""

CERTIFIED_PER_ANSWER = 4
"""Certified batches that a witness hands to an entry node which asks for what is certified."""

BALLOTS_PER_PEER_MAX = 4
"""Vote requests of one peer that are worked on at once; its others wait."""

ENTRY_DOUBTFUL_PER_PEER_MAX = 4
"""Operations of one submitting peer under way that could not be certified by what we know."""

CLOSINGS_FINISHED_AT_ONCE = 16
"""Half-certified ends of escrows that a witness sees to in one round."""

LEDGER_PULLS_AT_ONCE = 3
"""Peers that came up or know more, pulled from at the same time; a slow one holds one of these."""

LEDGER_PULL_SECONDS_MAX = 10.0
"""What one pull may last without bringing news; what it brought is kept when it is cut off."""

LEDGER_PULL_IN_VAIN_MAX = 100_000
"""More than one pull names: batches of an epoch that is yet to come here bring nothing so far."""

LEDGER_UNWANTED_MAX = 50_000
"""Ids of batches and proofs remembered that bring nothing, so as not to fetch them again."""

ACCOUNT_EVIDENCE_MAX = 1_000
"""Accounts convicted of double signing that are kept, 8 KiB each: votes are single anyway."""

LEDGER_RECONCILE_SECONDS = 3.0
"""Pause between two comparisons with a random peer: what gossip lost arrives within seconds."""

LEDGER_TRUST_MS = 30 * SECOND_MS
"""How long a peer's news are enough, before whole ledgers are compared again."""

LEDGER_BACK_OFF_MS_MIN = SECOND_MS
"""First wait after a pull that failed: witnesses are few, and a payment waits for them."""

LEDGER_NUDGE_SECONDS_MIN = 0.2
"""Between two pulls from one peer because it knows what we do not."""

LEDGER_CAUGHT_UP_SECONDS_MAX = 10.0
"""What a payment right after the start waits for the first comparison with a peer."""

LEDGER_PENDING_RETRY_SECONDS = 30.0
"""Between two attempts to get an operation of our own certified that failed before."""

EVIDENCE_PER_ANSWER = 16
"""Proofs in one answer; one has at most 17 KiB."""

ALARMS_SHOWN_MAX = 100
"""Slots with two certificates named in one answer; one is reason enough to stop."""

LEDGER_ASKED_PEERS = 3
"""Peers that a light peer asks for one answer."""

LEDGER_TRIED_PEERS_MAX = 8
"""Peers that a light peer tries for one question before it gives up."""

EVIDENCE_PAGES_MAX = 16
"""Pages of proofs that a light peer takes from one peer."""

HISTORY_ENTRIES_MAX = 500
"""Entries in one answer about an account; fits a frame."""

GENESIS_BYTES_MAX = 1 * MIB
"""A genesis file: 20,000 first balances."""

AUDIT_BATCHES_AT_ONCE = 64
"""Batches that an audit checks in one go in a thread: up to a second of work between two signs
of progress."""

AUDIT_FINDINGS_MAX = 20
"""What is told of each rule that does not hold; where there are more, the number says so."""

AUDIT_REPEATS_MAX = 3
"""How often a ledger in which something was wrong is looked at anew since an epoch ended
meanwhile: a verification takes minutes, an epoch hours."""

AUDIT_ROUNDS_MAX = 20
"""How often an audit looks again for what was certified meanwhile, before it compares."""

AUDIT_SETTLE_SECONDS = 0.1
"""Between two such looks: a batch counts in memory while its write is under way."""
