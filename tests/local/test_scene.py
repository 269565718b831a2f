from __future__ import annotations

import numpy as np
import pytest

from falrt.local.scene import draw_scene

KINDS = ["mountains", "sea", "forest", "city", "desert", "space", "flowers", "portrait", "cat", "fox"]


@pytest.mark.parametrize("kind", KINDS)
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
