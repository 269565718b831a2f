from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from falrt import media
from falrt.media import source


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros((2, 3, 3), np.uint8), "numpy array of shape (2, 3, 3) and dtype uint8"),
        (media.BGR(np.zeros((2, 3), np.uint8)), "BGR numpy array of shape (2, 3) and dtype uint8"),
        (Image.new("L", (3, 2)), "PIL image of mode L and size (3, 2)"),
        (b"\xff\xd8secret pixels", "15 bytes starting b'\\xff\\xd8secret'"),
        ("x" * 100, "'" + "x" * 57 + "...'"),
        ("short", "'short'"),
        (Path("a/b.jpg"), repr(str(Path("a/b.jpg")))),
        (3, "int"),
    ],
)
def test_values_are_named_without_their_content(value: Any, words: str) -> None:
    assert source.describe(value) == words


def test_kinds_of_pixels_are_told_apart() -> None:
    array, image = np.zeros((2, 2), np.uint8), Image.new("L", (2, 2))

    assert [source.is_array(array), source.is_array(image), source.is_pil(image), source.is_pil(array)] == [
        True,
        False,
    ] * 2
    assert all(map(source.is_pixels, (array, image, media.BGR(array))))
    assert not any(map(source.is_pixels, (b"", "", None, Path())))


@pytest.mark.parametrize(
    ("text", "is_web"), [("https://a/b", True), ("HTTP://a", True), ("http:/a", False), ("", False)]
)
def test_web_addresses_are_recognised(text: str, is_web: bool) -> None:
    assert source.is_web_url(text) is is_web


def test_media_and_spec_load_no_heavy_library() -> None:
    heavy = "{'numpy', 'PIL', 'pydantic', 'httpx', 'cv2', 'asyncio'}"
    code = f"import sys, falrt.media, falrt.models, falrt.models.spec; print({heavy} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
