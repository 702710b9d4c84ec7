"""What nodes can do, by the names that gridproxy's clients know, or else by ours."""

from collections.abc import Iterable, Mapping

from p2pgrid.model.node import Feature

NAMES_OF: Mapping[Feature, tuple[str, ...]] = {
    Feature.CONTAINER: ("container",),
    Feature.VIRTUAL_MACHINE: ("zmachine",),
    Feature.VOLUME: ("volume",),
    Feature.ZDB: ("zdb",),
    Feature.S3: ("s3",),
    Feature.GATEWAY: ("gateway-name-proxy", "gateway-fqdn-proxy"),
    Feature.GPU: ("gpu",),
    Feature.KUBERNETES: ("kubernetes",),
}
"""A container here is a process with an image, not the small machine that a zmachine is."""

_NOBODY_HAS = (
    "zmount", "network", "ipv4", "ip", "qsfs", "zlogs", "yggdrasil", "mycelium", "wireguard",
    "zmachine-light", "network-light",
)  # fmt: skip
"""Parts of Zero-OS: asked for, they find no node."""

FEATURE_OF: Mapping[str, Feature | None] = {
    **dict.fromkeys(_NOBODY_HAS),
    **{name: feature for feature, names in NAMES_OF.items() for name in names},
}
"""All names that may be asked for; None: nobody has it."""


def names_of(features: Iterable[Feature]) -> list[str]:
    """What a node says it can do."""
    return [name for feature in features for name in NAMES_OF[feature]]
