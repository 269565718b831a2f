from __future__ import annotations

from PIL import Image

from falrt.cli.blocks import half_blocks


def test_picture_keeps_its_proportion_in_the_room() -> None:
    text = half_blocks(Image.new("RGB", (100, 100), "red"), (40, 20))

    lines = text.plain.splitlines()
    assert len(lines) == 10
    assert {len(line) for line in lines} == {20}


def test_upper_and_lower_pixel_share_a_cell() -> None:
    picture = Image.new("RGB", (2, 2), (255, 0, 0))
    picture.paste((0, 0, 255), (0, 1, 2, 2))

    text = half_blocks(picture, (2, 2))

    style = str(text.spans[0].style)
    assert style == "#ff0000 on #0000ff"
