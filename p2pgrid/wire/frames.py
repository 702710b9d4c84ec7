"""Length-prefixed frames on a byte stream, sans IO: 4 bytes big-endian length, then the payload."""

from p2pgrid.errors import BrokenProtocol
from p2pgrid.limits.wire import FRAME_BYTES_MAX

LENGTH_BYTES = 4


def frame(payload: bytes, *, bytes_max: int = FRAME_BYTES_MAX) -> bytes:
    """What to write for one payload. Raises ValueError when it is too long."""
    if len(payload) > bytes_max:
        raise ValueError(f"frame of {len(payload)} bytes, the limit is {bytes_max}")
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


class FrameReader:
    """Puts frames together from whatever pieces arrive; holds at most one frame and one piece."""

    def __init__(self, *, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._bytes_max = bytes_max

    @property
    def is_between_frames(self) -> bool:
        """Whether the stream may end here."""
        return not self._buffer

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived; give every frame that is complete now.

        Raises:
            BrokenProtocol: a frame says it is longer than the limit.
        """
        self._buffer += data
        complete = []
        start = 0
        while len(self._buffer) - start >= LENGTH_BYTES:
            length = int.from_bytes(self._buffer[start : start + LENGTH_BYTES], "big")
            if length > self._bytes_max:
                raise BrokenProtocol(f"frame of {length} bytes, the limit is {self._bytes_max}")
            end = start + LENGTH_BYTES + length
            if len(self._buffer) < end:
                break
            complete.append(bytes(self._buffer[start + LENGTH_BYTES : end]))
            start = end
        del self._buffer[:start]
        return complete
