"""The log of one fit, or of the run, in all trackers at once; and that no tracker costs a fit."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pytorch_lightning.loggers.logger import Logger

from beyondlinear.records.trackers.subject import LogSubject

log = logging.getLogger(__name__)

# A tracker: makes the logger of a fit or of the run; None: it keeps nothing of this subject.
MakeLogger = Callable[[LogSubject], Logger | None]


class ActiveTrackers:
    """The trackers that still log, by name. The first exception of one ends it for the run, with
    one warning."""

    def __init__(self, trackers: Mapping[str, MakeLogger]) -> None:
        self._trackers = dict(trackers)

    def __contains__(self, name: str) -> bool:
        return name in self._trackers

    def loggers(self, subject: LogSubject) -> dict[str, Logger]:
        """A new logger of each, by name."""
        loggers = {}
        for name, make_logger in list(self._trackers.items()):
            with self.guarded(name):
                logger = make_logger(subject)
                if logger is not None:
                    loggers[name] = logger
        return loggers

    @contextmanager
    def guarded(self, name: str) -> Iterator[None]:
        """Within it an exception of a tracker becomes one warning, and the tracker's end."""
        try:
            yield
        except Exception as e:
            self._drop(name, e)

    def _drop(self, name: str, error: Exception) -> None:
        if self._trackers.pop(name, None) is None:
            return
        log.warning(
            "warning: tracker %s failed and logs no more in this run (%s: %s); the fits and their"
            " records are not affected",
            name,
            type(error).__name__,
            " ".join(str(error).split())[:300],
        )
        log.debug("tracker failed", exc_info=error)


class TrackerLog(Logger):
    """One fit, or the run, in all trackers: a logger that Lightning is given.

    Loggers of Lightning itself, which a user's YAML names, go to the Trainer as they are, and are
    told here what the Trainer does not know: the config, the final metrics.
    """

    def __init__(
        self,
        active: ActiveTrackers,
        loggers: Mapping[str, Logger],
        given_to_trainer: Mapping[str, Logger] | None = None,
    ) -> None:
        super().__init__()
        self.active = active
        self.loggers = dict(loggers)
        self.given_to_trainer = dict(given_to_trainer or {})
        self.epochs: set[int] = set()
        self._losses: dict[str, float] = {}  # of the epoch that is not over yet

    @property
    def name(self) -> str:
        return "beyondlinear"

    @property
    def version(self) -> str:
        return ""

    @property
    def is_empty(self) -> bool:
        """Whether there is no tracker to tell."""
        return not self.loggers and not self.given_to_trainer

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """What Lightning logs while it trains. It gives the losses of an epoch one by one and the
        epoch as a metric: they are logged together, by epoch."""
        losses = {name: float(value) for name, value in metrics.items()}
        if "epoch" in losses:
            step = int(losses.pop("epoch"))
            self._losses |= losses
            if "train_loss" not in losses:  # the epoch is not over
                return
            losses = self._losses
            self._losses = {}
            self.epochs.add(step)
        if losses:
            self._tell(self.loggers, "log_metrics", losses, step)

    def log_further_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """What Lightning does not log: to all trackers."""
        values = {name: float(value) for name, value in metrics.items()}
        if values:
            self._tell_all("log_metrics", values, step)

    def log_hyperparams(  # type: ignore[override]
        self, params: Mapping[str, object], *arguments: object, **keywords: object
    ) -> None:
        self._tell_all("log_hyperparams", dict(params))

    def log_text(self, name: str, text: str) -> None:
        self._tell_all("log_text", name, text)

    def log_figure(self, name: str, png: bytes) -> None:
        self._tell_all("log_figure", name, png)

    def save(self) -> None:
        self._tell(self.loggers, "save")

    def finalize(self, status: str) -> None:
        """Lightning calls it when training ends; the metrics come later: see close."""

    def close(self, status: str) -> None:
        """:param status: success | failed"""
        self._tell_all("save")
        self._tell_all("finalize", status)
        self.loggers.clear()
        self.given_to_trainer.clear()

    def _tell_all(self, method: str, *arguments: object) -> None:
        self._tell(self.loggers, method, *arguments)
        self._tell(self.given_to_trainer, method, *arguments)

    def _tell(self, loggers: dict[str, Logger], method: str, *arguments: object) -> None:
        for name, logger in list(loggers.items()):
            if name not in self.active:
                del loggers[name]
                continue
            with self.active.guarded(name):
                # log_text and log_figure are no methods of every logger
                call = getattr(logger, method, None)
                if call is not None:
                    call(*arguments)
