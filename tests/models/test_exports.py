from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from falrt import models


def test_every_export_exists_and_is_listed() -> None:
    for name in models.__all__:
        assert getattr(models, name) is not None
    assert set(models.__all__) <= set(dir(models))


def test_type_checkers_see_the_modules_that_names_are_looked_for_in() -> None:
    seen = re.findall(
        r"^    from falrt\.models\.(\w+) import \*$", Path(models.__file__).read_text(), re.MULTILINE
    )

    assert sorted(models._MODULES) == seen  # type: ignore[attr-defined]  # hidden from type checkers


def test_no_name_is_exported_twice() -> None:
    assert sorted(set(models.__all__)) == sorted(models.__all__)


def test_all_names_can_be_imported_with_a_star() -> None:
    names: dict[str, object] = {}
    exec("from falrt.models import *", names)

    assert names["KLEIN"] is models.KLEIN
    assert set(models.__all__) <= set(names)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'KLEIM'"):
        models.KLEIM  # type: ignore[attr-defined]  # noqa: B018  # the mistake under test


def test_pydantic_is_loaded_with_the_first_model_and_image_libraries_never() -> None:
    code = (
        "import sys; from falrt import models; models.RealtimeModel('acme/app', dict, dict)\n"
        "from falrt.models import plain; hasattr(models, '__wrapped__')\n"
        "print('pydantic' in sys.modules); models.KLEIN\n"
        "print('pydantic' in sys.modules, {'numpy', 'PIL', 'httpx', 'cv2'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "True", "set()"]
