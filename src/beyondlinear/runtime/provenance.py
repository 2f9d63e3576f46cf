"""What did not determine a fit but may be asked for later: versions, commit, machine."""

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import TypedDict

# raised when results change on purpose: earlier records are then not taken for today's
NUMERICS_VERSION = 7

_PACKAGES = (
    "beyondlinear",
    "torch",
    "pytorch-lightning",
    "torchmetrics",
    "numpy",
    "scikit-learn",
    "optuna",
    "anndata",
)


class Provenance(TypedDict):
    """Where a record comes from."""

    versions: dict[str, str]  # of Python and of packages
    commit: str | None  # of the git repository that the code lies in; None: it lies in none
    changed_since_commit: bool | None  # whether files were edited since; None: no repository
    host: str
    processor: str


@functools.cache
def provenance() -> Provenance:
    """Versions, commit and machine of this process."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        versions[package] = importlib.metadata.version(package)
    changes = _git("status", "--porcelain", "--untracked-files=no", ".")
    return {
        "versions": versions,
        "commit": _git("rev-parse", "HEAD"),
        "changed_since_commit": None if changes is None else bool(changes),
        "host": platform.node(),
        "processor": platform.machine(),
    }


def _git(*arguments: str) -> str | None:
    """What git says of the folder of this file; None where it says nothing."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
