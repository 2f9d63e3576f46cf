"""Where a run stands: a live bar on a terminal, plain lines elsewhere, both with the time left."""

import logging
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 30  # of a tuning, where there is no bar


class FitProgress:
    """Progress over the fits that are still to be made."""

    def __init__(self, n_fits: int, label: str) -> None:
        self.n_fits = n_fits
        self.label = label
        self.n_done = 0
        self.started = time.monotonic()
        self.last_line = self.started
        self.bar: Progress | None = None
        self.fits: TaskID | None = None
        self.epochs: TaskID | None = None

    def __enter__(self) -> "FitProgress":
        if self.n_fits and Console().is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self.bar = Progress(*columns, transient=True)
            self.fits = self.bar.add_task(f"{self.label}: fits", total=self.n_fits)
            self.bar.start()
            self._follow_stdout()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.stop()
            self._follow_stdout()

    def epoch(self, epoch: int, most: int) -> None:
        """Called after each epoch of the fit under way."""
        if self.bar is not None:
            if self.epochs is None:
                self.epochs = self.bar.add_task("this fit: epochs at most", total=most)
            self.bar.update(self.epochs, completed=epoch, total=most)

    def trial(self, text: str) -> None:
        """Called after each trial of a nested tuning; says `text` now and then where there is no
        bar."""
        if self.bar is not None:
            first_part = text.split("  ")[0]
            self.bar.update(
                self.fits or TaskID(0), description=f"{self.label}: fits ({first_part})"
            )
        elif time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            log.info("  tuning %s", text)

    def fit_done(self, text: str) -> None:
        """Called after each fit; says `text` and how long the rest may take."""
        self.n_done += 1
        seconds_a_fit = (time.monotonic() - self.started) / self.n_done
        left = seconds_a_fit * (self.n_fits - self.n_done)
        more = f"; about {duration(left)} left" if left else ""
        log.info("fit %d of %d  %s%s", self.n_done, self.n_fits, text, more)
        if self.bar is not None and self.fits is not None:
            self.bar.update(self.fits, completed=self.n_done)
            if self.epochs is not None:
                self.bar.remove_task(self.epochs)
                self.epochs = None

    @staticmethod
    def _follow_stdout() -> None:
        # the live bar replaces sys.stdout; log lines must go through it, or they would be printed
        # into the bar
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(
                handler, logging.FileHandler
            ):
                handler.setStream(sys.stdout)


def duration(seconds: float) -> str:
    """3.2 s, 4 min 10 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
