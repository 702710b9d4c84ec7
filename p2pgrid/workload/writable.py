"""The writable layer of a container: as large as was paid for, and not a byte more.

It is an ext4 file system in a sparse file: the one way to a hard limit that every file system of
a farmer allows. The file is taken into use by a rename, so one that exists is whole.
"""

import os
from pathlib import Path

from p2pgrid.mounting import MS_NOATIME, MS_NODEV, MS_NOSUID, mount
from p2pgrid.workload.mounts import bind_idmapped, mount_image
from p2pgrid.workload.tool import run_tool

_SMALL_BYTES = 32 << 20
"""Below this a journal of at least 1 MiB is too much of the layer."""


def make_layer(image: Path, size_bytes: int) -> None:
    """Make an empty writable layer unless there is one. Raises CannotRun, OSError."""
    if image.exists():
        return
    unfinished = image.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(file, size_bytes)
    finally:
        os.close(file)
    features = "^resize_inode" + (",^has_journal" if size_bytes < _SMALL_BYTES else "")
    # No blocks kept back for root: all of it is the container's.
    run_tool(
        "mkfs.ext4", "-q", "-F", "-m", "0", "-O", features,
        "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0", str(unfinished),
    )  # fmt: skip
    unfinished.rename(image)


def mount_root(
    *, lower: Path, layer: Path, directory: Path, user_namespace: Path, host_id_first: int
) -> Path:
    """Lay the writable layer over an image, both seen from inside the user namespace.

    Args:
        lower: the image's tree; stays as it is.
        layer: what `make_layer` made.
        directory: where the mount points go.
        user_namespace: a pinned one.
        host_id_first: its root, as the machine sees it.

    Returns:
        The root directory for the container.
    """
    image, disk, root = (directory / name for name in ("image", "disk", "root"))
    for point in (image, disk, root):
        point.mkdir(mode=0o711, exist_ok=True)
    bind_idmapped(lower, image, user_namespace)
    mount_image(layer, disk, "ext4", MS_NOSUID | MS_NODEV | MS_NOATIME)
    upper, work = disk / "upper", disk / "work"
    if not upper.exists():
        _make_upper(upper, lower, host_id_first)
    work.mkdir(mode=0o700, exist_ok=True)
    options = f"lowerdir={image},upperdir={upper},workdir={work}"
    mount("overlay", root, "overlay", MS_NOSUID | MS_NODEV, options)
    return root


def _make_upper(upper: Path, lower: Path, host_id_first: int) -> None:
    """The top directory of the result takes its owner and mode from here, not from the image."""
    unfinished = upper.with_suffix(".unfinished")
    unfinished.mkdir(exist_ok=True)
    original = lower.stat()
    os.chown(unfinished, host_id_first + original.st_uid, host_id_first + original.st_gid)
    unfinished.chmod(original.st_mode & 0o7777)
    unfinished.rename(upper)
