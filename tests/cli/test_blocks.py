from __future__ import annotations

import re

from PIL import Image

from falrt.cli.blocks import half_blocks


def test_picture_keeps_its_proportion_in_the_room() -> None:
    lines = half_blocks(Image.new("RGB", (100, 100), "red"), (40, 20))

    assert len(lines) == 10
    assert {line.count("▀") for line in lines} == {20}


def test_upper_and_lower_pixel_share_a_cell() -> None:
    picture = Image.new("RGB", (2, 2), (255, 0, 0))
    picture.paste((0, 0, 255), (0, 1, 2, 2))

    assert half_blocks(picture, (2, 2)) == ["\x1b[38;2;255;0;0;48;2;0;0;255m▀▀\x1b[0m"]


def test_few_colours_come_from_the_cube() -> None:
    assert half_blocks(Image.new("RGB", (2, 2), (255, 128, 0)), (1, 2), true_colour=False) == [
        "\x1b[38;5;214;48;5;214m▀\x1b[0m"
    ]


def test_smallest_room_holds_a_cell() -> None:
    lines = half_blocks(Image.new("RGB", (300, 10)), (4, 2))

    assert len(lines) == 1
    assert re.sub(r"\x1b\[[\d;]*m", "", lines[0]) == "▀▀▀▀"
