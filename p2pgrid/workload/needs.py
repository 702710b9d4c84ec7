"""What running workloads needs from other parts of the program."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from p2pgrid.model.ids import FlistId
from p2pgrid.model.image import ImageConfig


class Image(Protocol):
    """An image that is ready to run."""

    @property
    def root(self) -> Path:
        """Its tree; complete, verified, shared by containers and never written to."""
        ...

    @property
    def config(self) -> ImageConfig:
        """How it wants to be run."""
        ...


class Images(Protocol):
    """Where images come from."""

    async def prepare(self, flist: FlistId) -> Image:
        """Bring an image to this machine, or find it here.

        Raises:
            GridError: nobody has it, or it is broken.
        """
        ...


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """The simplest Image there is."""

    root: Path
    config: ImageConfig
