"""What counts as a change of a picture."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from falrt import media, models
from falrt.exceptions import ConfigurationError
from falrt.media import BGR, Changed

RNG = np.random.default_rng(35)


def scene(at: int = 0, brightness: int = 90) -> np.ndarray[Any, Any]:
    """A grey scene with a bright square at some place."""
    pixels = np.full((240, 320, 3), brightness, np.uint8)
    pixels[100:140, 20 + at : 60 + at] = 230
    return pixels


def noisy(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same scene as a camera sees it a moment later."""
    return np.clip(pixels + RNG.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray[Any, Any]) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=60)
    return file.getvalue()


KINDS: dict[str, Any] = {
    "array": lambda pixels: pixels,
    "grey array": lambda pixels: pixels[..., 0].copy(),
    "floats": lambda pixels: pixels.astype(np.float32) / 255,
    "BGR": lambda pixels: BGR(pixels),
    "PIL": lambda pixels: Image.fromarray(pixels),
    "bytes": jpeg,
    "bytearray": lambda pixels: bytearray(jpeg(pixels)),
    "data URI": lambda pixels: media.data_uri(jpeg(pixels)),
    "map": lambda pixels: {"prompt": "a fox", "image_url": pixels},
    "typed": lambda pixels: models.KleinInput(prompt="a fox", image_url=jpeg(pixels)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_no_change_and_a_moving_thing_is(kind: str) -> None:
    changed, make = Changed(), KINDS[kind]
    sent = make(scene())
    assert not changed(sent, sent)
    assert not changed(sent, make(noisy(scene())))
    assert changed(sent, make(noisy(scene(at=60))))
    assert not changed(sent, make(scene()))


def test_the_threshold_says_how_much_counts() -> None:
    brighter = scene(brightness=110)
    assert Changed(0.05)(scene(), brighter)
    assert not Changed(0.2)(scene(), brighter)


def test_at_zero_any_difference_counts() -> None:
    other = scene()
    other[0, 0] += 1
    assert Changed(0)(scene(), other)
    assert not Changed(0)(scene(), scene())
    assert not Changed(0)(BGR(scene()), BGR(scene()))


def test_what_is_no_picture_is_compared_as_it_is() -> None:
    changed, pixels = Changed(), scene()
    sent = {"prompt": "a fox", "image_url": pixels}
    assert changed(sent, {"prompt": "a wolf", "image_url": pixels})
    assert changed(sent, {"prompt": "a fox", "image_url": pixels, "seed": 1})
    assert changed("a fox", "a wolf")
    assert not changed("a fox", "".join(["a ", "fox"]))
    assert changed(b"one", b"two")
    assert changed(Path("a.jpg"), Path("a.jpg"))  # the file may have changed
    assert changed(sent, [sent])


def test_a_kind_that_cannot_be_compared_has_changed() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise TypeError("no")

        __hash__ = None  # type: ignore[assignment]

    assert Changed()(Odd(), Odd())


def test_small_and_odd_arrays_are_compared_exactly() -> None:
    changed = Changed()
    assert changed(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4, 3), np.uint8))
    assert not changed(np.zeros(5), np.zeros(5))


def test_damaged_pictures_are_compared_by_their_bytes() -> None:
    damaged = jpeg(scene())[:80]
    assert not Changed()(damaged, bytes(bytearray(damaged)))
    assert Changed()(damaged, damaged + b"x")


def test_what_cannot_be_compared_counts_as_changed() -> None:
    closed = Image.open(BytesIO(jpeg(scene())))
    closed.close()
    cut_short = Image.open(BytesIO(jpeg(scene())[:-200]))
    record = np.zeros((), [("red", "u1")])

    for odd in (closed, cut_short, record):
        assert Changed()(odd, jpeg(scene()))
        assert Changed()(jpeg(scene()), odd)


def test_without_pillow_encoded_pictures_are_compared_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = jpeg(scene()), jpeg(noisy(scene()))
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert Changed()(one, other)
    assert not Changed()(one, bytes(bytearray(one)))


def test_the_picture_sent_last_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from falrt.media import change

    looked: list[int] = []
    original = change._tiles_of
    monkeypatch.setattr(change, "_tiles_of", lambda picture: looked.append(id(picture)) or original(picture))
    changed, sent = Changed(), jpeg(scene())
    for _ in range(3):
        changed(sent, jpeg(noisy(scene())))
    assert looked.count(id(sent)) == 1


@pytest.mark.parametrize("threshold", [-0.1, 1.1, "0.5", True, float("nan")])
def test_a_wrong_threshold_is_named(threshold: Any) -> None:
    with pytest.raises(ConfigurationError, match="threshold must be"):
        Changed(threshold)


def test_it_says_what_it_is() -> None:
    assert repr(Changed(0.1)) == "Changed(threshold=0.1)"
