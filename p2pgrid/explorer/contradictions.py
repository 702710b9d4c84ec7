"""Proofs that an author said two things at once: one for a register, as many as there is room for.

Keys are free, so a proof counts only while there is a record of its register: who
is not in the view harms nobody. The first proof of a register stays, and marks
everything that its author says.
"""

from collections.abc import Iterator, Mapping

from p2pgrid.crdt.register import Contradiction, RegisterKey
from p2pgrid.limits.explorer import CONTRADICTIONS_BYTES_MAX, CONTRADICTIONS_MAX


class Contradictions(Mapping[RegisterKey, Contradiction]):
    """The proofs that a view keeps."""

    def __init__(self) -> None:
        self._of_register: dict[RegisterKey, Contradiction] = {}
        self._keys_of: dict[bytes, dict[RegisterKey, None]] = {}
        self._bytes = 0

    def __getitem__(self, key: RegisterKey) -> Contradiction:
        return self._of_register[key]

    def __iter__(self) -> Iterator[RegisterKey]:
        return iter(self._of_register)

    def __len__(self) -> int:
        return len(self._of_register)

    @property
    def is_full(self) -> bool:
        """Whether no further proof is kept, so that none is worth a look."""
        return len(self) >= CONTRADICTIONS_MAX

    def convict(self, author: bytes) -> bool:
        """Whether there is a proof that this author lies."""
        return author in self._keys_of

    def authors(self) -> Iterator[bytes]:
        """Those who are proved to lie, in the order in which they were found out."""
        return iter(self._keys_of)

    def of_author(self, author: bytes) -> Contradiction | None:
        """A proof that this author lies, the oldest that is kept."""
        key = next(iter(self._keys_of.get(author, ())), None)
        return None if key is None else self._of_register[key]

    def add(self, key: RegisterKey, proof: Contradiction) -> bool:
        """Keep a verified proof; whether it is news and there was room."""
        size = _size(proof)
        if key in self or self.is_full or self._bytes + size > CONTRADICTIONS_BYTES_MAX:
            return False
        self._of_register[key] = proof
        self._keys_of.setdefault(key.author, {})[key] = None
        self._bytes += size
        return True

    def drop(self, key: RegisterKey) -> bool:
        """Forget what is known of a register that is gone; whether that was anything."""
        proof = self._of_register.pop(key, None)
        if proof is None:
            return False
        self._bytes -= _size(proof)
        keys = self._keys_of[key.author]
        del keys[key]
        if not keys:
            del self._keys_of[key.author]
        return True


def _size(proof: Contradiction) -> int:
    return len(proof.first) + len(proof.second)
