from __future__ import annotations

import numpy as np
import pytest

from falrt.local.strokes import TILE_PIXELS, detail_layers, ground_layer, mosaic_layer, smooth_noise, window


def test_ground_leaves_no_pixel_bare() -> None:
    layer = ground_layer(length=60, width=24, seed=1)

    assert (layer.strokes > 0).all()
    assert layer.strokes.max() < len(layer.centres) == len(layer.jitter)


def test_details_lie_in_four_directions() -> None:
    layers = detail_layers(length=40, width=12, seed=1)

    assert [layer.angle for layer in layers] == pytest.approx([0, np.pi / 4, np.pi / 2, 3 * np.pi / 4])
    assert all((layer.strokes == 0).any() for layer in layers)


def test_mosaic_pieces_are_parted_by_joints() -> None:
    layer = mosaic_layer(step=64, seed=1)

    joints = (layer.strokes == 0).mean()
    assert 0.01 < joints < 0.2
    assert layer.strokes.max() < len(layer.centres)


def test_each_mosaic_piece_is_around_its_point() -> None:
    layer = mosaic_layer(step=64, seed=1)

    piece = int(layer.strokes[500, 500]) or int(layer.strokes[505, 505])
    rows, columns = np.nonzero(layer.strokes == piece)
    x, y = layer.centres[piece]
    assert abs(columns.mean() - x) < 64
    assert abs(rows.mean() - y) < 64


def test_seed_moves_the_window() -> None:
    assert window(512, 512, 1) == window(512, 512, 1)
    assert window(512, 512, 1) != window(512, 512, 2)


@pytest.mark.parametrize("size", [(64, 48), (1024, 512), (TILE_PIXELS, TILE_PIXELS)])
def test_window_fills_a_picture_up_to_the_tile(size: tuple[int, int]) -> None:
    layer = ground_layer(length=60, width=24, seed=1)
    place = window(*size, seed=5)

    strokes = place.cut(layer)
    down, across = place.places(layer)

    assert strokes.shape == (size[1], size[0])
    assert 0 <= down.min() <= down.max() < 1
    assert 0 <= across.min() <= across.max() < 1


def test_noise_is_smooth_and_bounded() -> None:
    noise = smooth_noise(128, 3, np.random.default_rng(1))

    assert noise.shape == (128, 128)
    assert np.abs(noise).max() < 1.6
    assert np.abs(np.diff(noise, axis=0)).max() < 0.3
