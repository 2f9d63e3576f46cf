"""What a run tells its trackers, under the same names for every model and every tracker:

- config/…: the resolved config, before the fit
- train_loss, validation_loss: once an epoch, step = epoch, where there are epochs
- hyperparameters/…: what the fit ended with; chosen/…: what nested tuning chose; status, reason,
  key, model, fold …
- final/…: metrics of the test part
- record: the record, as JSON
- figure: of the run, balanced accuracy against training samples, as PNG
"""

import inspect
import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeGuard

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_object
from omegaconf import DictConfig
from pytorch_lightning.loggers.logger import Logger

from beyondlinear.records.record import ComposedConfig, FitRecord
from beyondlinear.records.trackers.figure import draw_run
from beyondlinear.records.trackers.log import ActiveTrackers, MakeLogger, TrackerLog
from beyondlinear.records.trackers.subject import RUN, LogSubject
from beyondlinear.runtime.config import build
from beyondlinear.runtime.errors import ConfigError
from beyondlinear.runtime.files import plain

log = logging.getLogger(__name__)

# fields of a record that stand beside the hyperparameters
_LOGGED_FIELDS = (
    "key",
    "seed",
    "fold",
    "held_out",
    "fraction",
    "pretrained",
    "status",
    "reason",
)


class Tracker(Protocol):
    """What the YAML of a tracker of ours builds."""

    def logger(self, subject: LogSubject) -> Logger:
        """The logger of a fit or of the run; it may have log_text(name, text) and log_figure(name,
        png) besides what a logger of Lightning has."""


class Trackers:
    """The chosen trackers of one run.

    A node of the config group `logger` is a tracker of ours (see `Tracker`) or a logger of
    Lightning: its class with arguments, or, with `_partial_: true`, a function that is called with
    name=…. A logger of Lightning is made anew for each fit, named after the fit if it has no name
    of its own, and given to the Trainer as it is.
    """

    def __init__(self, chosen: DictConfig | None, directory: Path) -> None:
        """
        :param chosen: the config group `logger`
        :param directory: of the run
        :raises ConfigError: a tracker whose package is not installed, or a YAML that does not say
            where it belongs
        """
        trackers: dict[str, MakeLogger] = {}
        self.lightning_loggers: set[str] = set()
        for key, node in (chosen or {}).items():
            name = str(key)
            if node is None:
                continue
            if not isinstance(node, DictConfig):
                raise ConfigError(
                    f"logger.{name}: {node!r} is no tracker; the YAML of a tracker begins with the"
                    " line # @package logger.NAME"
                )
            if _is_lightning_logger(node):
                self.lightning_loggers.add(name)
                trackers[name] = _lightning_logger(node)
            else:
                trackers[name] = _tracker(node)
        self.active = ActiveTrackers(trackers)
        self.directory = directory
        self.tags: dict[str, str] = {}
        self.config: ComposedConfig = {}
        self.run_log: TrackerLog | None = None
        self.fit_log: TrackerLog | None = None

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            for open_log in (self.fit_log, self.run_log):
                if open_log is not None:
                    open_log.close("failed")

    def describe(self, config: ComposedConfig, names: Mapping[str, str]) -> None:
        """What every log of this run begins with."""
        self.config = config
        self.tags = {n: names[n] for n in ("dataset", "task", "model", "signal_removal")}
        self.tags["seed"] = str(config["seed"])
        sweep = _sweep()
        if sweep is not None:
            self.tags["sweep"] = sweep

    def begin(self, name: str) -> Logger | list[Logger]:
        """The log of the fit that begins now, as Lightning's Trainer takes it: one logger, or
        several where the user chose some of Lightning's."""
        if self.run_log is None:
            self.run_log = self._open(RUN)
        self.fit_log = self._open(name)
        if not self.fit_log.given_to_trainer:
            return self.fit_log
        return [*self.fit_log.given_to_trainer.values(), self.fit_log]

    def end_fit(self, record: FitRecord) -> None:
        """Log what became of a fit, from its record."""
        assert self.fit_log is not None
        fit_log = self.fit_log
        self.fit_log = None
        if fit_log.is_empty:
            return
        history = record.get("training", {}).get("history", [])
        # what was not logged while it trained: of a fit resumed, of a model without Lightning
        for epoch in history:
            if epoch["epoch"] not in fit_log.epochs:
                losses = {"train_loss": epoch["train_loss"]}
                if "validation_loss" in epoch:
                    losses["validation_loss"] = epoch["validation_loss"]
                fit_log.log_further_metrics(losses, epoch["epoch"])
        fit_log.log_hyperparams(_logged_hyperparameters(record))
        final = {}
        for metric, value in record.get("metrics", {}).items():
            if _is_finite(value):
                final[f"final/{metric}"] = value
        fit_log.log_further_metrics(final, len(history))
        fit_log.log_text("record", json.dumps(plain(record), indent=1, ensure_ascii=False))
        fit_log.close("success" if record["status"] != "failed" else "failed")

    def end_run(self, records: Sequence[FitRecord]) -> None:
        """The run's figure, if a fit of it was logged."""
        if self.run_log is None:
            return
        if not self.run_log.is_empty:
            figure = _figure(records)
            if figure is not None:
                self.run_log.log_figure("figure", figure)
        self.run_log.close("success")
        self.run_log = None

    def _open(self, name: str) -> TrackerLog:
        subject = LogSubject(name, self.directory, self.tags)
        ours = {}
        given_to_trainer = {}
        for tracker, logger in self.active.loggers(subject).items():
            if tracker in self.lightning_loggers:
                given_to_trainer[tracker] = logger
            else:
                ours[tracker] = logger
        opened = TrackerLog(self.active, ours, given_to_trainer)
        opened.log_hyperparams({"config": self.config})
        return opened


def _is_lightning_logger(node: DictConfig) -> bool:
    """Whether a node names a class of Lightning's loggers, not a function that makes one."""
    if "_target_" not in node or node.get("_partial_", False):
        return False
    target = get_object(node["_target_"])
    return inspect.isclass(target) and issubclass(target, Logger)


def _lightning_logger(node: DictConfig) -> MakeLogger:
    """A logger of Lightning a fit. Of the run itself it would have nothing to keep."""
    takes_name = "name" in inspect.signature(get_object(node["_target_"])).parameters

    def make(subject: LogSubject) -> Logger | None:
        if subject.name == RUN:
            return None
        if not takes_name:
            return build(node)
        return build(node, name=node.get("name") or subject.name)

    return make


def _tracker(node: DictConfig) -> MakeLogger:
    """A tracker of ours, or a function that is called with name=…"""
    built = build(node)
    if hasattr(built, "logger"):
        tracker: Tracker = built
        return tracker.logger

    def make(subject: LogSubject) -> Logger:
        return built(name=subject.name)

    return make


def _logged_hyperparameters(record: FitRecord) -> dict[str, object]:
    logged: dict[str, object] = {}
    for field in _LOGGED_FIELDS:
        value = record.get(field)
        if value is not None:
            logged[field] = value
    logged["model"] = record["names"]["model"]
    logged["hyperparameters"] = record.get("hyperparameters", {})
    logged["chosen"] = record.get("tuning", {}).get("chosen", {})
    return logged


def _figure(records: Sequence[FitRecord]) -> bytes | None:
    try:
        return draw_run(records)
    except Exception as e:
        log.warning("warning: the figure was not logged (%s: %s)", type(e).__name__, e)
        return None


def _is_finite(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _sweep() -> str | None:
    """The name of the sweep that this run is one of."""
    hydra = HydraConfig.get()
    return Path(hydra.sweep.dir).name if hydra.mode == RunMode.MULTIRUN else None
