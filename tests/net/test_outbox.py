"""What waits for peers that read slowly: announcements go first, and all have equal shares."""

from p2pgrid.limits.spreading import GOSSIP_OUTBOX_BYTES_MAX, GOSSIP_OUTBOXES_BYTES_MAX
from p2pgrid.net.outbox import Outboxes
from tests.net.spread_model import node

A, B = node(1), node(2)
HALF = GOSSIP_OUTBOX_BYTES_MAX // 2


async def test_frames_are_taken_in_order() -> None:
    outboxes = Outboxes()
    outbox = outboxes.open(A)
    outboxes.put(A, b"one", is_announcement=False)
    outboxes.put(A, b"two", is_announcement=True)

    assert [await outbox.take(), await outbox.take()] == [b"one", b"two"]
    assert outbox.bytes_held == 0


def test_announcements_are_dropped_first_and_for_the_slow_peer_alone() -> None:
    outboxes = Outboxes()
    slow, quick = outboxes.open(A), outboxes.open(B)
    outboxes.put(A, bytes(HALF), is_announcement=False)

    outboxes.put(A, b"id", is_announcement=True)
    outboxes.put(B, b"id", is_announcement=True)
    assert (slow.bytes_held, quick.bytes_held) == (HALF, 2)
    outboxes.put(A, bytes(HALF), is_announcement=False)
    outboxes.put(A, b"x", is_announcement=False)
    assert slow.bytes_held == 2 * HALF
    assert outboxes.dropped_count == 2


def test_all_peers_together_have_so_much_kept_for_them() -> None:
    """Otherwise a hundred that do not read fill the memory."""
    outboxes, count = Outboxes(), 256
    for number in range(count):
        outboxes.open(node(number))
    for number in range(count):
        for _ in range(2 * GOSSIP_OUTBOXES_BYTES_MAX // count // 4096):
            outboxes.put(node(number), bytes(4096), is_announcement=False)

    assert GOSSIP_OUTBOXES_BYTES_MAX // 2 < outboxes.bytes_held <= GOSSIP_OUTBOXES_BYTES_MAX


def test_nothing_is_kept_for_who_is_gone() -> None:
    outboxes = Outboxes()
    outboxes.open(A)
    outboxes.close(A)
    outboxes.put(A, b"x", is_announcement=False)

    assert A not in outboxes
    assert outboxes.bytes_held == 0
