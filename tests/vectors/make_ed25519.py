"""Make `ed25519.json`: signatures on which libraries disagree, and what libsodium says.

The cases are those of "Taming the Many EdDSAs" (Chalkias, Garillot, Nikolaenko,
SSR 2020): small, mixed and non-canonical points, which the two verification
equations, with and without cofactor, judge differently. Run it only to make
the file anew: `python -m tests.vectors.make_ed25519 > tests/vectors/ed25519.json`.
"""

import hashlib
import json
import sys
from collections.abc import Callable

from p2pgrid.wire.signed import is_signed_by, is_usable_key

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

Point = tuple[int, int]
ZERO: Point = (0, 1)
MESSAGE = b"p2pgrid test"


def add(a: Point, b: Point) -> Point:
    (x1, y1), (x2, y2) = a, b
    k = D * x1 * x2 * y1 * y2 % P
    return (
        (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P,
    )


def multiply(factor: int, point: Point) -> Point:
    result = ZERO
    while factor:
        if factor & 1:
            result = add(result, point)
        point, factor = add(point, point), factor >> 1
    return result


def point_at(y: int, sign: int) -> Point | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P:
        return None
    return (P - x if x & 1 != sign else x), y


def must(point: Point | None) -> Point:
    assert point is not None
    return point


def encoded(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def challenge(r: bytes, key: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + key + MESSAGE).digest(), "little") % L


def signature(r: bytes, s: int) -> bytes:
    return r + s.to_bytes(32, "little")


def find_torsion() -> Point:
    """A point of order 8."""
    y = 2
    while True:
        point = point_at(y, 0)
        if point and multiply(4, torsion := multiply(L, point)) != ZERO:
            return torsion
        y += 1


BASE = must(point_at(4 * pow(5, -1, P) % P, 0))
TORSION = find_torsion()


def find_nonce(key: bytes, start: int, wanted: Callable[[int], bool]) -> int:
    """A nonce whose challenge for `key` is as wanted."""
    nonce = start
    while not wanted(challenge(encoded(multiply(nonce, BASE)), key)):
        nonce += 1
    return nonce


def make_cases() -> dict[str, tuple[bytes, bytes]]:
    """(key, signature) of each case, by name."""
    a = int.from_bytes(hashlib.sha512(b"p2pgrid key").digest(), "little") % L
    r = int.from_bytes(hashlib.sha512(b"p2pgrid nonce").digest(), "little") % L
    honest, mixed = multiply(a, BASE), add(multiply(a, BASE), TORSION)
    key, small, both = encoded(honest), encoded(TORSION), encoded(mixed)
    r_point = multiply(r, BASE)
    r_bytes, r_mixed = encoded(r_point), encoded(add(r_point, TORSION))
    s = (r + challenge(r_bytes, key) * a) % L
    zero, far_zero = encoded(ZERO), (P + 1).to_bytes(32, "little")

    def small_key(nonce: int) -> tuple[bytes, bytes]:
        return small, signature(encoded(multiply(nonce, BASE)), nonce)

    def mixed_key(nonce: int) -> tuple[bytes, bytes]:
        r_of = encoded(multiply(nonce, BASE))
        return both, signature(r_of, (nonce + challenge(r_of, both) * a) % L)

    return {
        "honest": (key, signature(r_bytes, s)),
        "S plus the group order": (key, signature(r_bytes, s + L)),
        "key and R are the identity, S is 0": (zero, signature(zero, 0)),
        "key of order 8, both equations hold": small_key(find_nonce(small, 1, lambda h: not h % 8)),
        "key of order 8, only cofactored holds": small_key(
            find_nonce(small, 1, lambda h: h % 8 > 0)
        ),
        "key of mixed order, only cofactored holds": mixed_key(
            find_nonce(both, r, lambda h: h % 8 > 0)
        ),
        "key of mixed order, both equations hold": mixed_key(
            find_nonce(both, r, lambda h: not h % 8)
        ),
        "R of mixed order, only cofactored holds": (
            key,
            signature(r_mixed, (r + challenge(r_mixed, key) * a) % L),
        ),
        "key is the identity, not canonical": (far_zero, signature(zero, 0)),
        "R is the identity, not canonical": (zero, signature(far_zero, 0)),
    }


def main() -> None:
    """Print the cases with the verdicts of the libsodium that is installed."""
    cases = [
        {
            "name": name,
            "key": key.hex(),
            "message": MESSAGE.hex(),
            "signature": sig.hex(),
            "libsodium_accepts": is_signed_by(key, MESSAGE, sig),
            "key_is_usable": is_usable_key(key),
        }
        for name, (key, sig) in make_cases().items()
    ]
    json.dump(cases, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
