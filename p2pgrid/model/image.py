"""What an image says about how it wants to be run."""

from dataclasses import dataclass

from p2pgrid.model.workload import Port


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The part of an OCI image configuration that matters for running it.

    Its author may be hostile: sizes are bounded by whoever reads the image, meanings are
    checked where they are used.
    """

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    """Arguments for the entrypoint, or the whole command when there is no entrypoint."""
    env: tuple[tuple[str, str], ...] = ()
    user: str = ""
    """`user[:group]`, each a name or a number; empty means root."""
    working_directory: str = "/"
    ports: tuple[Port, ...] = ()
    """What the image says it listens on."""
    stop_signal: str = "SIGTERM"
