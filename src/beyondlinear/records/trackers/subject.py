"""What a tracker is told to log: one fit, or the run."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from beyondlinear.runtime.errors import ConfigError

RUN = "run"  # the name of a run's own log, beside those of its fits


@dataclass(frozen=True)
class LogSubject:
    """One fit ("fold0_fraction1.0") or, under the name RUN, the run.

    directory: the run directory; tags: dataset, task, model, signal_removal, seed and sweep.
    """

    name: str
    directory: Path
    tags: Mapping[str, str] = field(default_factory=dict)


def require(package: str, install: str, tracker: str) -> None:
    """:raises ConfigError: the package of a tracker is not installed"""
    if importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"logger={tracker} needs the package {package}, which is not installed: pip install"
            f" '{install}', or choose another tracker (logger=csv needs nothing)"
        )
