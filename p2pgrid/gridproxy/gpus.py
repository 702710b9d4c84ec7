"""GPUs as gridproxy shows them, read from what nodes announce of them."""

import re
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
