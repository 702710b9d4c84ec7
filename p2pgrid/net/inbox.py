"""Gossip that arrives: judged at once, queued within bounds, never waited for."""

import logging

import trio

from p2pgrid.limits.net import GOSSIP_BYTES_MAX, INBOX_MESSAGES_MAX
from p2pgrid.net.network import GossipMessage, Validator, Verdict

log = logging.getLogger(__name__)


class Inbox:
    """The subscriber of one topic."""

    def __init__(self, validate: Validator) -> None:
        self._validate = validate
        self._send, self.messages = trio.open_memory_channel[GossipMessage](INBOX_MESSAGES_MAX)
        self.dropped_count = 0

    def offer(self, message: GossipMessage) -> Verdict:
        """Judge `message`; queue it if it is accepted and there is room. Raises nothing."""
        verdict = self._judge(message)
        if verdict is Verdict.ACCEPT:
            try:
                self._send.send_nowait(message)
            except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
                self.dropped_count += 1
        return verdict

    def close(self) -> None:
        """End the subscriber's channel."""
        self._send.close()

    def _judge(self, message: GossipMessage) -> Verdict:
        if len(message.data) > GOSSIP_BYTES_MAX:
            return Verdict.REJECT
        try:
            return self._validate(message.forwarder, message.data)
        except Exception as error:  # noqa: BLE001 - whatever a peer sent must not end the node
            log.debug("a validator refused a message: %r", error)
            return Verdict.REJECT
