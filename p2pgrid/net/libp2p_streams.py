"""A libp2p stream as a byte stream that fails like trio's."""

import logging
from typing import Final

import trio
from libp2p.abc import INetStream
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.network.stream.net_stream import NetStream

from p2pgrid.net.libp2p_patches import reset_quietly
from p2pgrid.units import KIB

log = logging.getLogger(__name__)

_RECEIVE_BYTES: Final = 64 * KIB


class Libp2pStream:
    """What `control_session` calls a ControlStream."""

    def __init__(self, stream: INetStream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes) -> None:
        """Write everything. Raises BrokenResourceError."""
        try:
            await self._stream.write(data)
        except Exception as error:
            # Every layer of libp2p has exceptions of its own, and KeyErrors besides.
            raise trio.BrokenResourceError(str(error)) from error

    async def receive_some(self) -> bytes:
        """Up to 64 KiB, b"" at the end. Raises BrokenResourceError."""
        try:
            return await self._stream.read(_RECEIVE_BYTES)
        except StreamEOF:
            return b""
        except Exception as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def receive_exactly(self, count: int) -> bytes:
        """So many bytes, and not one more. Raises BrokenResourceError, also at the end."""
        data = b""
        try:
            while len(data) < count:
                data += await self._stream.read(count - len(data))
        except Exception as error:
            raise trio.BrokenResourceError(str(error)) from error
        return data

    async def send_eof(self) -> None:
        """Say that nothing more is written. Raises BrokenResourceError."""
        assert isinstance(self._stream, NetStream)
        try:
            await self._stream.close_write()
        except Exception as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def aclose(self) -> None:
        """Give the stream up, whatever state it is in."""
        await reset_quietly(self._stream)
