"""What the kernel knows of a TCP connection: how long a segment and its acknowledgement take.

It measures that all the time for its own timers, so nobody has to send pings. Linux fills
`struct tcp_info` (linux/tcp.h), whose fields stay where they are from version to version.
"""

import socket
import struct
from typing import Protocol

_TCP_INFO_BYTES = 256
_SMOOTHED_US = 68
"""Where `tcpi_rtt` is: a running mean, which a late acknowledgement makes longer."""
_LEAST_US = 148
"""Where `tcpi_min_rtt` is: the least of the last minutes; from Linux 4.6 on."""
_UNKNOWN = (0, 2**32 - 1)
_Uint32 = struct.Struct("=I")


def round_trip_us(info: bytes) -> int | None:
    """Microseconds there and back by what the kernel says; None when it does not know.

    >>> round_trip_us(bytes(68) + (1500).to_bytes(4, "little"))
    1500
    """
    for offset in (_LEAST_US, _SMOOTHED_US):
        if len(info) >= offset + _Uint32.size:
            (found,) = _Uint32.unpack_from(info, offset)
            if found not in _UNKNOWN:
                return int(found)
    return None


class HasOptions(Protocol):
    """A socket, as far as it is needed here."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """Bytes of an option. Raises OSError."""
        ...


def measured_us(sock: HasOptions) -> int | None:
    """Microseconds there and back on a connected socket; None when nobody knows."""
    try:
        return round_trip_us(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES))
    except OSError:  # it is closed already
        return None
