"""What a reservation has cost up to a moment: the one formula that both sides of a payment use.

The node settles by it and the witnesses bound a settlement by it, so both must
round alike: down, and never beyond the deposit.
"""

from p2pgrid.units import HOUR_MS, Amount, TimestampMs


def accrued(
    price_per_hour: Amount, deposit: Amount, starts_at_ms: TimestampMs, until_ms: TimestampMs
) -> Amount:
    """The farm's due for the time from `starts_at_ms` to `until_ms`.

    Nothing when that is no time at all; the deposit at most.

    >>> accrued(Amount(3600), Amount(10_000), TimestampMs(0), TimestampMs(1_999))
    1
    >>> accrued(Amount(3600), Amount(10_000), TimestampMs(0), TimestampMs(90 * HOUR_MS))
    10000
    """
    duration_ms = max(0, until_ms - starts_at_ms)
    return Amount(min(deposit, price_per_hour * duration_ms // HOUR_MS))
