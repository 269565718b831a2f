from __future__ import annotations

import subprocess
import sys

import pytest

from falrt import models


def test_every_export_exists_and_is_listed() -> None:
    assert sorted(models.__all__) == sorted(name for names in models._HOMES.values() for name in names)
    for name in models.__all__:
        assert getattr(models, name) is not None
    assert set(models.__all__) <= set(dir(models))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'KLEIM'"):
        models.KLEIM  # type: ignore[attr-defined]  # noqa: B018  # the mistake under test


def test_pydantic_is_loaded_with_the_first_model_and_image_libraries_never() -> None:
    code = (
        "import sys; from falrt import models; models.RealtimeModel('acme/app', dict, dict)\n"
        "print('pydantic' in sys.modules); models.KLEIN\n"
        "print('pydantic' in sys.modules, {'numpy', 'PIL', 'httpx', 'cv2'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "True", "set()"]
