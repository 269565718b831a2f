from __future__ import annotations

import numpy as np
import pytest

from falrt.local.animals import ANIMALS
from falrt.local.scene import SCENES, draw_scene, smooth_noise


@pytest.mark.parametrize("kind", [*SCENES, *ANIMALS])
def test_every_scene_has_something_to_see(kind: str) -> None:
    scene = np.asarray(draw_scene(kind, 640, 480, np.random.default_rng(1)))

    assert scene.shape == (288, 384, 3)
    assert scene.std() > 20


def test_generator_decides_the_composition() -> None:
    first, again, other = (draw_scene("sea", 64, 64, np.random.default_rng(seed)) for seed in (1, 1, 2))

    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_unknown_kind_is_mountains() -> None:
    unknown, mountains = (draw_scene(kind, 64, 64, np.random.default_rng(1)) for kind in ("?", "mountains"))

    assert unknown.tobytes() == mountains.tobytes()


def test_noise_is_smooth_and_bounded() -> None:
    noise = smooth_noise(128, 3, np.random.default_rng(1))

    assert noise.shape == (128, 128)
    assert np.abs(noise).max() < 1.6
    assert np.abs(np.diff(noise, axis=0)).max() < 0.3
