"""Build wheel and sdist, look into them, install each into an empty environment, and run the tutorial's programs there.

Not a pytest file: it takes a minute and asks the package index. ``make test-package`` runs it; CI does.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run(*command: object, **options: object) -> str:
    """Run a command and return what it printed; its own words are shown where it fails."""
    done = subprocess.run(
        [str(part) for part in command], text=True, stdout=subprocess.PIPE, check=False, **options
    )
    if done.returncode:
        sys.exit(f"failed with {done.returncode}: {' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def build(folder: Path) -> tuple[Path, Path]:
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def check_contents(wheel: Path, sdist: Path) -> None:
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "falrt").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    inside = {name for name in names if ".dist-info/" not in name}
    assert inside == package, f"the wheel holds other files than falrt/: {sorted(inside ^ package)}"
    assert any(name.endswith("/licenses/LICENSE") for name in names), "no licence in the wheel"
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    wanted = package | {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "Makefile"}
    assert wanted <= held, f"missing in the sdist: {sorted(wanted - held)}"
    strays = [name for name in held if "node_modules" in name or name.endswith(".pyc")]
    assert not strays, f"not for the sdist: {strays[:5]}"


def try_out(archive: Path, folder: Path) -> None:
    """Install an archive where nothing else is, start the stand-in as the tutorial says, and run its programs."""
    environment = folder / "environment"
    venv.create(environment, with_pip=True)
    binaries = environment / ("Scripts" if os.name == "nt" else "bin")
    python = binaries / "python"
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", f"{archive}[local]")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # A stamp of where it comes from, and of what is not installed.
    shown = run(python, "-c", "import falrt; print(falrt.__file__, falrt.__version__)", cwd=folder, env=clean)
    assert str(environment) in shown, shown
    version = archive.name.split("-")[1].removesuffix(".tar.gz")
    assert shown.split()[1] == version, f"{shown} against {archive.name}"
    assert run(binaries / "falrt", "--version", cwd=folder, env=clean) == f"falrt {version}\n"
    tutorial = (ROOT / "docs" / "tutorial" / "first-picture.md").read_text(encoding="utf-8")
    with subprocess.Popen(
        [binaries / "falrt", "serve", "--port", "0"], stdout=subprocess.PIPE, text=True, cwd=folder, env=clean
    ) as serving:
        assert serving.stdout is not None
        try:
            url = re.search(r"http://\S+", serving.stdout.readline())
            assert url is not None
            there = {**clean, "FALRT_BASE_URL": url[0], "FAL_KEY": "local"}
            for number, program in enumerate(_BLOCK.findall(tutorial), 1):
                path = folder / f"program{number}.py"
                path.write_text(program, encoding="utf-8")
                run(python, path, cwd=folder, env=there, timeout=60)
        finally:
            serving.terminate()
    assert (folder / "painting.jpg").read_bytes().startswith(b"\xff\xd8")


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        dist = Path(scratch) / "dist"
        wheel, sdist = build(dist)
        check_contents(wheel, sdist)
        for archive in (wheel, sdist):
            folder = Path(scratch) / archive.suffix[1:]
            folder.mkdir()
            try_out(archive, folder)
            print(f"{archive.name}: installed where nothing else was, and the tutorial ran")


if __name__ == "__main__":
    main()
