from __future__ import annotations

import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from falrt.exceptions import DecodeError, MissingDependencyError
from falrt.media import arrays
from falrt.media.fit import place


def gradient(width: int, height: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    across = np.linspace(0, 255, width, dtype=np.uint8)
    down = np.linspace(0, 255, height, dtype=np.uint8)
    return np.dstack(
        [
            np.tile(across, (height, 1)),
            np.tile(down[:, None], (1, width)),
            np.full((height, width), 90, np.uint8),
        ]
    )


def test_decode_gives_writable_rgb() -> None:
    buffer = BytesIO()
    Image.new("RGB", (30, 20), (250, 100, 10)).save(buffer, "PNG")

    array = arrays.decode(buffer.getvalue())

    assert (array.shape, array.dtype) == ((20, 30, 3), np.uint8)
    assert array[5, 5].tolist() == [250, 100, 10]
    array[0, 0] = 0


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
def test_decode_gives_three_channels_for_every_mode(mode: str) -> None:
    buffer = BytesIO()
    Image.new(mode, (30, 20), 1).save(buffer, "PNG")

    assert arrays.decode(buffer.getvalue()).shape == (20, 30, 3)


def test_decode_of_nonsense_is_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        arrays.decode(b"nonsense")


def test_decode_without_numpy_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)

    with pytest.raises(MissingDependencyError, match=r"falrt\[images\]"):
        arrays.decode(b"")


@pytest.mark.parametrize("size", [(60, 60), (300, 200), (90, 30)])
def test_opencv_and_pillow_scale_alike(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2", reason="OpenCV is an optional accelerator")
    source = gradient(160, 90)
    with_opencv = arrays.decode(arrays.encode_jpeg(source, size, 95))
    pil_with_opencv = arrays.fit_pil(Image.fromarray(source), place((160, 90), size, "cover"))
    monkeypatch.setitem(sys.modules, "cv2", None)
    with_pillow = arrays.decode(arrays.encode_jpeg(source, size, 95))
    pil_with_pillow = arrays.fit_pil(Image.fromarray(source), place((160, 90), size, "cover"))

    assert with_opencv.shape == with_pillow.shape == (size[1], size[0], 3)
    assert np.abs(with_opencv.astype(int) - with_pillow.astype(int)).mean() < 3
    assert pil_with_opencv.size == pil_with_pillow.size == size
    assert np.abs(np.array(pil_with_opencv, int) - np.array(pil_with_pillow, int)).mean() < 3


def test_a_pil_image_is_fitted_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(gradient(160, 90))
    monkeypatch.setitem(sys.modules, "numpy", None)

    assert arrays.fit_pil(image, place(image.size, (32, 32), "cover")).size == (32, 32)


def test_a_cut_of_the_right_size_is_not_scaled() -> None:
    source = gradient(160, 90)

    fitted = arrays.fit_pil(Image.fromarray(source), place((160, 90), (90, 90), "cover"))

    assert np.array_equal(np.asarray(fitted), source[:, 35:125])
