"""Following a log of which only the end can be read.

A window is the end of a log and how many bytes came before it. While the whole
log fits in one window, positions are exact. Later each new window is laid over
the one before where they agree, so that positions go on; should a log repeat
itself exactly, a repetition may be taken for what was seen already.
"""

from dataclasses import dataclass

_PROBE_BYTES = 64


@dataclass(frozen=True, slots=True)
class LogWindow:
    """The end of a log."""

    start: int = 0
    """Bytes of the log before `data`."""
    data: bytes = b""

    @property
    def end(self) -> int:
        """Bytes of the log so far."""
        return self.start + len(self.data)

    def moved(self, tail: bytes, bytes_max: int) -> "LogWindow":
        """The window after the log's last `bytes_max` bytes became `tail`."""
        if len(tail) < bytes_max:
            return LogWindow(0, tail)
        return LogWindow(self.start + self._bytes_gone(tail), tail)

    def read(self, offset: int, bytes_max: int) -> tuple[bytes, int]:
        """Bytes from `offset` on and the offset after them.

        What was before the window is lost; who is beyond its end starts with the window.
        """
        first = offset - self.start if self.start <= offset <= self.end else 0
        data = self.data[first : first + bytes_max]
        return data, self.start + first + len(data)

    def _bytes_gone(self, tail: bytes) -> int:
        """How many bytes of this window are not in `tail` any more."""
        probe = tail[:_PROBE_BYTES]
        gone = self.data.find(probe)
        while gone >= 0:
            if tail.startswith(self.data[gone:]):
                return gone
            gone = self.data.find(probe, gone + 1)
        return len(self.data)
