from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from falrt import models


def test_every_export_exists_and_is_listed() -> None:
    for name in models.__all__:
        assert getattr(models, name) is not None
    assert set(models.__all__) <= set(dir(models))


@pytest.mark.parametrize("module", models._HOMES)  # type: ignore[attr-defined]  # hidden from type checkers
def test_what_type_checkers_see_of_a_module_is_what_the_door_gives(module: str) -> None:
    door = Path(models.__file__).read_text()

    assert sorted(importlib.import_module(module).__all__) == sorted(models._HOMES[module])  # type: ignore[attr-defined]
    assert f"    from {module} import *\n" in door


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
