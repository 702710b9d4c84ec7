"""What nodes announce of GPUs is taken apart, or shown as it is."""

import pytest

from p2pgrid.gridproxy.gpus import Gpu, read_gpu


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "NVIDIA 10de:2684 at 0000:01:00.0",
            Gpu("NVIDIA 10de:2684 at 0000:01:00.0", "NVIDIA", "10de", "2684", "0000:01:00.0"),
        ),
        ("10de:2684", Gpu("10de:2684")),
        ("", Gpu("")),
    ],
)
def test_texts_of_gpus(text: str, found: Gpu) -> None:
    assert read_gpu(text) == found


def test_an_unknown_text_is_the_id_and_the_device() -> None:
    assert (read_gpu("A card").identity, read_gpu("A card").device) == ("A card", "A card")
