"""The lowest version of everything that falrt says it works with, as constraints for pip.

    python tests/packaging/lowest.py > lowest.txt

Reads the dependencies and extras of pyproject.toml. Tools of the tests are not constrained.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
# A requirement with a floor: its name, its extras, its floor.
REQUIREMENT = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?>=([0-9.]+)")


def constraints(requirements: Iterable[str]) -> Iterator[str]:
    """Yield ``name==floor``, each once."""
    floors = {}
    for requirement in requirements:
        found = REQUIREMENT.match(requirement)
        if found:
            name, floor = found.groups()
            if floors.setdefault(name.lower(), floor) != floor:
                raise SystemExit(f"{name} has two floors: {floors[name.lower()]} and {floor}")
    yield from (f"{name}=={floor}" for name, floor in sorted(floors.items()))


def main() -> None:
    """Print them."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    extras = project["optional-dependencies"].values()
    for line in constraints([*project["dependencies"], *(each for extra in extras for each in extra)]):
        print(line)


if __name__ == "__main__":
    main()
