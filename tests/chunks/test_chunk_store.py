"""A blob is a chunk only when it has the hash that it is known by, and a size that is allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.chunks.chunk_store import Blob, chunk_id, require_chunk, require_flist
from p2pgrid.errors import BadChunk
from p2pgrid.model.flist import flist_id


@given(st.binary(min_size=1, max_size=100), st.data())
def test_any_change_of_a_chunk_is_seen(data: bytes, draw: st.DataObject) -> None:
    require_chunk(Blob(chunk_id(data), data))
    require_chunk(Blob(chunk_id(data), memoryview(data)))
    require_flist(flist_id(data), data)
    changed = bytearray(data)
    changed[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(BadChunk, match="hash"):
        require_chunk(Blob(chunk_id(data), bytes(changed)))
    with pytest.raises(BadChunk, match="hash"):
        require_flist(flist_id(data), bytes(changed))


def test_the_chunk_id_is_that_of_rfs() -> None:
    """blake2b with 32 bytes of digest, not one of 64 bytes cut off."""
    known = "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"
    assert chunk_id(b"").hex() == known
