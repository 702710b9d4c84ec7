"""Limits of reconciling two sets."""

from p2pgrid.units import KIB

RECONCILE_ANSWER_BYTES_MAX = 512 * KIB
"""Ids or records in one answer: half a frame, so that other answers are not kept waiting."""

RECONCILE_FETCH_IDS_MAX = 1024
"""Records asked for at once; of the small ones that is about what one answer holds."""

RECONCILE_MISSING_MAX = 50_000
"""Ids held in memory during one pull, 3 MB; a peer that names more is asked again afterwards."""
