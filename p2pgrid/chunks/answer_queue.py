"""What one peer asked for on one stream, in the order in which it is answered. Pure."""

from collections import deque
from collections.abc import Callable, Sequence

from p2pgrid.chunks.messages import ChunkRequest, FlistRequest, split_answers
from p2pgrid.chunks.wanted import Urgency
from p2pgrid.limits.chunks import REQUESTS_QUEUED_MAX
from p2pgrid.model.ids import ChunkId, FlistId

ChunkGroup = Sequence[ChunkId]
"""Chunks that make one answer."""


class AnswerQueue:
    """The more urgent first; of the same urgency, first come, first served."""

    def __init__(self, chunk_bytes: Callable[[ChunkId], int]) -> None:
        """Nothing is asked.

        Args:
            chunk_bytes: the size of a chunk of ours; 0 for one that is not here.
        """
        self._chunk_bytes = chunk_bytes
        self._requests: dict[Urgency, deque[deque[ChunkGroup] | FlistId]] = {
            urgency: deque() for urgency in Urgency
        }

    def add(self, request: ChunkRequest | FlistRequest) -> None:
        """One more request; not while the queue is full."""
        assert not self.is_full, "requests are read only while there is room for them"
        match request:
            case ChunkRequest(chunks, urgency):
                sizes = [(chunk, self._chunk_bytes(chunk)) for chunk in dict.fromkeys(chunks)]
                self._requests[urgency].append(deque(split_answers(sizes)))
            case FlistRequest(flist):
                self._requests[Urgency.NOW].append(flist)

    def next(self) -> ChunkGroup | FlistId | None:
        """What to answer now; None when all is answered."""
        for requests in self._requests.values():
            if requests:
                first = requests[0]
                answer = first.popleft() if isinstance(first, deque) else first
                if answer is first or not first:
                    requests.popleft()
                return answer
        return None

    @property
    def is_full(self) -> bool:
        """Whether no more requests should be read for now."""
        return sum(map(len, self._requests.values())) >= REQUESTS_QUEUED_MAX
