"""What a benchmark measured, kept as JSON with the date, the machine and its load."""

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """When and on what; load: processes that wanted a core over the last minute, this one
    included."""
    info = Path("/proc/cpuinfo")
    names = [
        line.split(":")[1].strip()
        for line in info.read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "device": f"{os.cpu_count()} × {names[0] if names else platform.machine()}",
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }


def keep(path: str | None, rows: list[dict[str, Any]], **measured: Any) -> None:
    """Write rows and what was measured with them to `path`, if one is given."""
    if path is None:
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(
        json.dumps(machine() | measured | {"rows": rows}, indent=1, ensure_ascii=False) + "\n"
    )


def wait_as_runs_do() -> None:
    """Begin this program again with OpenMP's threads waiting as in a run: torch reads how when it
    is loaded, here before beyondlinear says it."""
    if "BENCHMARK_BEGUN_AGAIN" not in os.environ:
        again = {"BENCHMARK_BEGUN_AGAIN": "1", "OMP_WAIT_POLICY": "passive"}
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | again)
