"""falrt installs beside what the same programs use: each package's own demands and ours are resolved together.

Not a pytest file: it asks the package index, and takes a minute. ``make test-together`` runs it; CI does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Several want an older websockets than the newest.
OTHERS = ("openai[realtime]", "realtime", "google-genai", "fal-client", "gradio")


def resolved(*requirements: str) -> dict[str, str]:
    """Return what pip would install for these together: names to versions.

    Raises:
        subprocess.CalledProcessError: They cannot be installed together.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["--dry-run", "--ignore-installed", "--quiet", "--report", str(report)]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, *requirements], check=True)
        chosen = [each["metadata"] for each in json.loads(report.read_text())["install"]]
    return {each["name"].lower().replace("_", "-"): each["version"] for each in chosen}


def main() -> None:
    """Resolve all of them together, and say what came out."""
    chosen = resolved(f"{ROOT}[all]", *OTHERS)
    missing = {"falrt", *(name.partition("[")[0] for name in OTHERS)} - chosen.keys()
    if missing:
        sys.exit(f"not installed: {', '.join(sorted(missing))}")
    shown = ("falrt", "websockets", "httpx", "pydantic", *(name.partition("[")[0] for name in OTHERS))
    print(", ".join(f"{name} {chosen[name]}" for name in shown))


if __name__ == "__main__":
    main()
