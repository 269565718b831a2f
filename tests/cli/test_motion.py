from __future__ import annotations

import numpy as np
import pytest

from falrt.cli.motion import Motion


@pytest.mark.parametrize("seconds", [0, 1.3, 4, 7.9, 100])
def test_scene_can_be_drawn_at_any_moment(seconds: float) -> None:
    picture = np.asarray(Motion(128).draw(seconds))

    assert picture.shape == (128, 128, 3)
    assert picture.std() > 30


def test_scene_moves_a_little_from_frame_to_frame() -> None:
    motion = Motion(128)
    now, soon, later = (np.asarray(motion.draw(seconds), dtype=float) for seconds in (1.0, 1.03, 2.0))

    assert 0 < np.abs(soon - now).mean() < np.abs(later - now).mean()
