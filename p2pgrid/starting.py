"""What a task that is started by `Nursery.start` gets handed, for the types."""

from typing import Protocol, TypeVar

_T_contra = TypeVar("_T_contra", contravariant=True)


class Starting(Protocol[_T_contra]):
    """Who waits for a task to be ready."""

    def started(self, value: _T_contra, /) -> None:
        """Hear that it is, and what to know of it."""
        ...
