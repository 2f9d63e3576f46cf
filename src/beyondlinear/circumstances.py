"""What did not determine a fit but may be asked for later."""

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any


@functools.cache
def circumstances() -> dict[str, Any]:
    """What did not determine a fit but may be asked for later: versions, commit, machine."""
    packages = (
        "beyondlinear",
        "torch",
        "pytorch-lightning",
        "torchmetrics",
        "numpy",
        "scikit-learn",
        "optuna",
        "anndata",
    )
    here = Path(__file__).parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=here, capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    changed = git("status", "--porcelain", "--untracked-files=no", ".")
    return {
        "versions": {"python": platform.python_version()} | {p: importlib.metadata.version(p) for p in packages},
        "commit": git("rev-parse", "HEAD"),
        "changed_since_commit": bool(changed) if changed is not None else None,
        "host": platform.node(),
        "processor": platform.machine(),
    }
