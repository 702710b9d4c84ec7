"""The kernel's measure of a connection is read where it is, and believed only when it is one."""

import socket

import pytest

from p2pgrid.net.tcp_info import measured_us, round_trip_us


@pytest.mark.parametrize(
    ("smoothed", "least", "expected"),
    [(1500, 900, 900), (1500, 0, 1500), (1500, 2**32 - 1, 1500), (0, 0, None)],
)
def test_the_least_counts_where_it_is_known(
    smoothed: int, least: int, expected: int | None
) -> None:
    info = bytearray(192)
    info[68:72] = smoothed.to_bytes(4, "little")
    info[148:152] = least.to_bytes(4, "little")
    assert round_trip_us(bytes(info)) == expected
    assert round_trip_us(bytes(info[:100])) == (smoothed or None)
    assert round_trip_us(b"") is None


def test_a_connection_is_measured_as_long_as_it_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
        with near, far:
            for _ in range(5):
                near.sendall(b"x")
                far.sendall(far.recv(1))
                assert near.recv(1) == b"x"
            found = measured_us(near)
            assert found is not None
            assert 0 < found < 10_000_000
    assert measured_us(near) is None
