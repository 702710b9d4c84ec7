"""Tells every reader about peers that come and go, and waits for none of them."""

import logging

import trio

from p2pgrid.limits.net import PEER_EVENTS_QUEUE_MAX
from p2pgrid.net.network import PeerEvent

log = logging.getLogger(__name__)


class PeerEvents:
    """Fans events out to bounded channels."""

    def __init__(self) -> None:
        self._readers: list[trio.MemorySendChannel[PeerEvent]] = []

    def subscribe(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        """A channel of the events from now on."""
        send, receive = trio.open_memory_channel[PeerEvent](PEER_EVENTS_QUEUE_MAX)
        self._readers.append(send)
        return receive

    def tell(self, event: PeerEvent) -> None:
        """Give `event` to every reader; drop those who left or stopped reading."""
        self._readers = [reader for reader in self._readers if _deliver(reader, event)]

    def close(self) -> None:
        """End every channel."""
        for reader in self._readers:
            reader.close()
        self._readers.clear()


def _deliver(reader: trio.MemorySendChannel[PeerEvent], event: PeerEvent) -> bool:
    try:
        reader.send_nowait(event)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return False
    except trio.WouldBlock:
        log.warning("a reader of peer events stopped reading; it is dropped")
        reader.close()
        return False
    return True
