"""The tests shown in the how-to page are tests, and pass; its other blocks run in tests/test_docs.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs/how-to/test-your-app.md"


def test_the_tests_of_the_page_pass(pytester: Any) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    tests = [block for block in blocks if "def test_" in block]
    pytester.makepyfile("\n".join(tests))
    result = pytester.runpytest_subprocess(
        *["-q", "-W", "error", "--strict-markers", "-p", "no:cacheprovider", "-p", "no:xdist"],
        *["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"],
    )
    result.assert_outcomes(passed="\n".join(tests).count("def test_"))
