"""GPUs as gridproxy shows them, read from what nodes announce of them."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

_ANNOUNCED = re.compile(
    r"(?P<vendor>[^ ]+) (?P<vendor_id>[0-9a-f]{4}):(?P<device_id>[0-9a-f]{4}) at (?P<slot>[^ ]+)",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU; what the node does not say is empty."""

    text: str
    vendor: str = ""
    vendor_id: str = ""
    device_id: str = ""
    slot: str = ""

    @property
    def identity(self) -> str:
        """Where it is and what it is: `slot/vendor/device`; the text when it does not say."""
        return f"{self.slot}/{self.vendor_id}/{self.device_id}" if self.slot else self.text

    @property
    def device(self) -> str:
        """What people call it."""
        return f"{self.vendor_id}:{self.device_id}" if self.slot else self.text


def read_gpu(text: str) -> Gpu:
    """One GPU of an announcement.

    >>> read_gpu("AMD 1002:731f at 0000:28:00.0").identity
    '0000:28:00.0/1002/731f'
    >>> read_gpu("Some card").identity
    'Some card'
    """
    match = _ANNOUNCED.fullmatch(text)
    return Gpu(text) if match is None else Gpu(text, **match.groupdict())


@dataclass(frozen=True, slots=True)
class GpuLines:
    """What is asked of the GPUs of one announcement: a line for each, and an empty one around."""

    vendor: str
    vendor_id: str
    device_id: str
    device: str


def _lines(said: Iterable[str]) -> str:
    """Every text once, in the order of their first."""
    return "\n".join(("", *dict.fromkeys(filter(None, said)), ""))


class GpuTexts:
    """GPUs of announcements, each read once: anybody may invent 64 for every node of his."""

    def __init__(self) -> None:
        self._read: dict[str, GpuLines] = {}

    def lines(self, texts: str) -> GpuLines:
        """The GPUs of one announcement: a line for each, case folded."""
        found = self._read.get(texts)
        if found is None:
            gpus = [read_gpu(text) for text in texts.split("\n")]
            found = self._read[texts] = GpuLines(
                vendor=_lines(gpu.vendor for gpu in gpus),
                vendor_id=_lines(gpu.vendor_id for gpu in gpus),
                device_id=_lines(gpu.device_id for gpu in gpus),
                device=_lines(gpu.device for gpu in gpus),
            )
        return found

    def unread(self, held: Collection[str]) -> list[str]:
        """Which texts are yet to be read. What nobody announces any more is forgotten."""
        new = [texts for texts in held if texts not in self._read]
        if len(self._read) + len(new) > len(held):
            self._read = {texts: self._read[texts] for texts in held if texts in self._read}
        return new
