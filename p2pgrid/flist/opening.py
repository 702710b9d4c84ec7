"""Opens the image that a source names, wherever it is (shell: reads files and registries)."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from p2pgrid.flist.logins import read_logins
from p2pgrid.flist.registry import open_registry_image
from p2pgrid.flist.sources import (
    ArchiveFiles,
    DirectoryFiles,
    LayeredImage,
    Source,
    open_docker_archive,
    open_layout,
    split_tag,
)


@contextmanager
def open_image(source: Source) -> Generator[LayeredImage]:
    """The image of a layered source, for as long as the context lasts.

    Raises:
        NotFound: there is no such image.
        Unreachable: the registry does not answer.
        BadInput, BadImage: what is there is none, or broken.
    """
    match source.kind:
        case "docker":
            with open_registry_image(source.rest, logins=read_logins()) as image:
                yield image
        case "docker-archive":
            yield open_docker_archive(ArchiveFiles(Path(source.rest)))
        case "oci-archive":
            path, tag = split_tag(source.rest)
            yield open_layout(ArchiveFiles(path), tag)
        case _:
            path, tag = split_tag(source.rest)
            yield open_layout(DirectoryFiles(path), tag)
