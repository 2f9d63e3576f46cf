"""What a run tells its trackers, under the same names for every model and every tracker; and that no tracker costs a fit.

config/…          the resolved config, before the fit
train_loss, tune_loss   once an epoch, step = epoch, where there are epochs
hyperparameters/… what the fit ended with; chosen/…: what nested tuning chose; status, reason, key, model, fold …
final/…           metrics of the validation part
record            the record, as JSON
figure            of the run: balanced accuracy against training samples, as PNG
"""

import importlib.util
import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from pytorch_lightning.loggers.logger import Logger

from beyondlinear.config import build
from beyondlinear.errors import ConfigError
from beyondlinear.results import plain
from beyondlinear.trackers.figure import draw_run

log = logging.getLogger(__name__)

RUN = "run"  # the name of a run's own log, beside those of its fits
_SAID = ("key", "seed", "fold", "held_out", "fraction", "pretrained", "status", "reason")


@dataclass(frozen=True)
class Place:
    """What is logged: one fit ("fold0_fraction1.0") or, under the name RUN, the run.

    directory: the run directory; tags: dataset, task, model, signal_removal, seed and sweep.
    """

    name: str
    directory: Path
    tags: Mapping[str, str] = field(default_factory=dict)


def require(package: str, install: str, tracker: str) -> None:
    """:raises ConfigError: the package of a tracker is not installed"""
    if importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"logger={tracker} needs the package {package}, which is not installed: pip install '{install}', or choose "
            "another tracker (logger=csv needs nothing)"
        )


class Trackers:
    """The chosen trackers of one run. The first exception of a tracker ends it for the run, with one warning.

    A tracker has `logger(place) -> pytorch_lightning.loggers.Logger`, or is itself called so with name=…; the logger may have
    log_text(name, text) and log_figure(name, png) besides.
    """

    def __init__(self, chosen: DictConfig, directory: Path) -> None:
        """:raises ConfigError: a tracker whose package is not installed, or a YAML that does not say where it belongs"""
        for name, node in ((str(n), of) for n, of in (chosen or {}).items()):
            if node is not None and not isinstance(node, DictConfig):
                raise ConfigError(
                    f"logger.{name}: {node!r} is no tracker; the YAML of a tracker begins with the line # @package logger.NAME"
                )
        self.members = {str(n): build(node) for n, node in (chosen or {}).items() if node is not None}
        self.directory = directory
        self.tags: dict[str, str] = {}
        self.config: dict[str, Any] = {}
        self.run: Log | None = None
        self.fit: Log | None = None

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            for open_log in (self.fit, self.run):
                if open_log is not None:
                    open_log.close("failed")

    def describe(self, config: dict[str, Any], names: Mapping[str, str]) -> None:
        """What every log of this run begins with."""
        self.config = config
        self.tags = {n: names[n] for n in ("dataset", "task", "model", "signal_removal")}
        self.tags |= {"seed": str(config["seed"])} | _sweep()

    def begin(self, name: str) -> "Log":
        """The log of the fit that begins now."""
        if self.run is None:
            self.run = self._open(RUN)
        self.fit = self._open(name)
        return self.fit

    def end_fit(self, record: dict[str, Any]) -> None:
        """Log what became of a fit, from its record."""
        assert self.fit is not None
        at, self.fit = self.fit, None
        if not at.loggers:
            return
        history = record.get("training", {}).get("history", [])
        for row in history:  # what was not logged while it trained: of a fit resumed, of a model without Lightning
            if row["epoch"] not in at.epochs:
                at.log_metrics({k: v for k, v in row.items() if k != "epoch"}, row["epoch"])
        said = {k: record[k] for k in _SAID if record.get(k) is not None} | {"model": record["names"]["model"]}
        said["hyperparameters"] = record.get("hyperparameters", {})
        said["chosen"] = record.get("tuning", {}).get("chosen", {})
        at.log_hyperparams(said)
        final = {f"final/{k}": v for k, v in record.get("metrics", {}).items() if _is_finite(v)}
        at.log_metrics(final, len(history))
        at.log_text("record", json.dumps(plain(record), indent=1, ensure_ascii=False))
        at.save()
        at.close("success" if record["status"] != "failed" else "failed")

    def end_run(self, records: list[dict[str, Any]]) -> None:
        """The run's figure, if a fit of it was logged."""
        if self.run is None:
            return
        if self.run.loggers:
            figure = _tried("the figure", lambda: draw_run(records))
            if figure is not None:
                self.run.log_figure("figure", figure)
        self.run.close("success")
        self.run = None

    def _open(self, name: str) -> "Log":
        place = Place(name, self.directory, self.tags)
        opened = Log(self)
        for member, tracker in list(self.members.items()):
            make = tracker.logger if hasattr(tracker, "logger") else (lambda at, of=tracker: of(name=at.name))
            with guarded(self, member):
                opened.loggers[member] = make(place)
        opened.log_hyperparams({"config": self.config})
        return opened

    def drop(self, member: str, error: Exception) -> None:
        """Log no more to a tracker that failed."""
        if self.members.pop(member, None) is not None:
            reason = " ".join(str(error).split())[:300]
            log.warning(
                "warning: tracker %s failed and logs no more in this run (%s: %s); the fits and their records are not affected",
                *(member, type(error).__name__, reason),
            )
            log.debug("tracker failed", exc_info=error)


class guarded:
    """Within it an exception of a tracker becomes one warning, and the tracker's end."""

    def __init__(self, trackers: Trackers, member: str) -> None:
        self.trackers, self.member = trackers, member

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if isinstance(error, Exception):
            self.trackers.drop(self.member, error)
            return True
        return False


class Log(Logger):
    """One fit, or the run, in all trackers: the one logger that Lightning is given."""

    def __init__(self, trackers: Trackers) -> None:
        super().__init__()
        self.trackers = trackers
        self.loggers: dict[str, Logger] = {}
        self.epochs: set[int] = set()
        self._epoch: dict[str, float] = {}

    @property
    def name(self) -> str:
        return "beyondlinear"

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Lightning gives the losses of an epoch one by one and the epoch as a metric: they are logged together, by epoch."""
        metrics = dict(metrics)
        if "epoch" in metrics:
            step = int(metrics.pop("epoch"))
            self._epoch |= metrics
            if "train_loss" not in metrics:  # the epoch is not over
                return
            metrics, self._epoch = self._epoch, {}
            self.epochs.add(step)
        if metrics:
            self._tell("log_metrics", {k: float(v) for k, v in metrics.items()}, step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self._tell("log_hyperparams", params)

    def log_text(self, name: str, text: str) -> None:
        self._tell("log_text", name, text)

    def log_figure(self, name: str, png: bytes) -> None:
        self._tell("log_figure", name, png)

    def save(self) -> None:
        self._tell("save")

    def finalize(self, status: str) -> None:
        """Lightning calls it when training ends; the metrics come later: see close."""

    def close(self, status: str) -> None:
        self._tell("finalize", status)
        self.loggers.clear()

    def _tell(self, method: str, *arguments: Any) -> None:
        for member, logger in list(self.loggers.items()):
            if member not in self.trackers.members:
                del self.loggers[member]
                continue
            with guarded(self.trackers, member):
                call: Callable[..., Any] | None = getattr(logger, method, None)
                if call is not None:
                    call(*arguments)


def _tried(what: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as e:
        log.warning("warning: %s was not logged (%s: %s)", what, type(e).__name__, e)
        return None


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _sweep() -> dict[str, str]:
    hydra = HydraConfig.get()
    return {"sweep": Path(hydra.sweep.dir).name} if hydra.mode == RunMode.MULTIRUN else {}
