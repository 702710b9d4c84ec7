"""What nodes announce of GPUs is taken apart, or shown as it is."""

import pytest

from p2pgrid.gridproxy import gpus
from p2pgrid.gridproxy.gpus import Gpu, GpuLines, GpuTexts, read_gpu


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


def test_an_announcement_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[str]()

    def noted(text: str) -> Gpu:
        read.append(text)
        return read_gpu(text)

    monkeypatch.setattr(gpus, "read_gpu", noted)
    texts, known = "amd 1002:731f at 0:1\namd 1002:731f at 0:2\nodd card", GpuTexts()
    for _ in range(3):
        assert known.lines(texts) == GpuLines(
            vendor="\namd\n", vendor_id="\n1002\n", device_id="\n731f\n",
            device="\n1002:731f\nodd card\n",
        )  # fmt: skip
    assert read == texts.split("\n")
    assert known.lines("") == GpuLines(vendor="\n", vendor_id="\n", device_id="\n", device="\n")


def test_what_nobody_announces_is_forgotten() -> None:
    known = GpuTexts()
    for texts in ("a", "b", "c"):
        known.lines(texts)
    assert known.unread(["b", "c", "d"]) == ["d"]
    assert set(known._read) == {"b", "c"}
