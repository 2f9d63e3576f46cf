"""Many files at once, with progress: files, bytes, rate and time left; plain lines where there is
no terminal."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from beyondlinear.data.download.mirrors import Mirrors, MissingFileError
from beyondlinear.data.gene_table import DamagedFileError
from beyondlinear.runtime.errors import DataError
from beyondlinear.runtime.progress import duration

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class ProgressCounter:
    """Files, samples and bytes done, printed at most every `every` seconds in plain lines, or live
    on a terminal.

    files, samples: how many there are in all; unit: what is counted as a file.
    """

    def __init__(
        self, what: str, files: int, samples: int = 0, every: float = 10.0, unit: str = "files"
    ) -> None:
        self.what = what
        self.files = files
        self.samples = samples
        self.every = every
        self.unit = unit
        self.done_files = 0
        self.done_samples = 0
        self.bytes = 0
        self.started = time.monotonic()
        self.last_print = self.started
        self.lock = threading.Lock()
        self.bar: Progress | None = None

    def __enter__(self) -> "ProgressCounter":
        if self.files > 1 and Console().is_terminal:
            self.bar = Progress(TextColumn("{task.description}"), BarColumn(), transient=True)
            self.task = self.bar.add_task(self.what, total=self.files)
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
        elif self.last_print > self.started:
            log.info("%s", self.text())

    def received(self, n: int) -> None:
        with self.lock:
            self.bytes += n
        self._print()

    def file_done(self, samples: int = 0) -> None:
        with self.lock:
            self.done_files += 1
            self.done_samples += samples
        self._print()

    def text(self) -> str:
        """E.g. "recount3: 3 of 10 studies, 60 of 200 samples (12/s), about 12 s left"."""
        seconds = max(1e-9, time.monotonic() - self.started)
        parts = [f"{self.what}: {self.done_files:,} of {self.files:,} {self.unit}"]
        share = self.done_files / max(1, self.files)
        if self.samples:
            share = self.done_samples / self.samples
            a_second = self.done_samples / seconds
            parts.append(f"{self.done_samples:,} of {self.samples:,} samples ({a_second:.0f}/s)")
        if self.bytes:
            megabytes = self.bytes / 1e6
            parts.append(f"{megabytes:,.0f} MB downloaded ({megabytes / seconds:.1f} MB/s)")
        if 0 < share < 1:
            parts.append(f"about {duration(seconds / share - seconds)} left")
        return ", ".join(parts)

    def _print(self) -> None:
        with self.lock:
            now = time.monotonic()
            if self.bar is not None:
                self.bar.update(self.task, completed=self.done_files, description=self.text())
            elif now - self.last_print > self.every:
                self.last_print = now
                log.info("%s", self.text())


def fetch_all(
    mirrors: Mirrors, relatives: list[str], workers: int, what: str
) -> tuple[dict[str, Path], dict[str, str]]:
    """Fetch files; those that no mirror has are named with the reason, in place of an error.

    :returns: paths by relative path, and reasons by relative path
    """
    found: dict[str, Path] = {}
    missing: dict[str, str] = {}
    with ProgressCounter(what, len(relatives)) as counter:
        for relative, path_or_error in as_fetched(mirrors, relatives, workers, counter):
            if isinstance(path_or_error, Path):
                found[relative] = path_or_error
            else:
                missing[relative] = str(path_or_error)
            counter.file_done()
    return found, missing


def as_fetched(
    mirrors: Mirrors,
    relatives: Iterable[str],
    workers: int,
    counter: ProgressCounter,
    ahead: int = 8,
) -> Iterator[tuple[str, Path | MissingFileError]]:
    """Files in the order in which they arrive, `workers` at a time and at most `ahead` each in
    waiting."""
    queue = iter(relatives)
    with ThreadPoolExecutor(workers) as pool:
        waiting: dict[Future[Path], str] = {}
        try:
            while True:
                for relative in queue:
                    waiting[pool.submit(mirrors.fetch, relative, counter.received)] = relative
                    if len(waiting) >= workers * ahead:
                        break
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    relative = waiting.pop(future)
                    try:
                        yield relative, future.result()
                    except MissingFileError as e:
                        yield relative, e
        finally:
            pool.shutdown(cancel_futures=True)


def worked_on(
    fetched: Iterable[tuple[str, Path | MissingFileError]], work: Callable[[str, Path], Result]
) -> Iterator[tuple[str, Result | DataError]]:
    """What `work` returns for each file, as it is finished, one thread a processor.

    A file that is missing, or that `work` finds damaged, comes as its error.
    """
    n_threads = os.cpu_count() or 1
    with ThreadPoolExecutor(n_threads) as pool:
        working: dict[Future[Result], str] = {}

        def finished() -> Iterator[tuple[str, Result | DataError]]:
            for future in wait(working, return_when=FIRST_COMPLETED).done:
                relative = working.pop(future)
                try:
                    yield relative, future.result()
                except (MissingFileError, DamagedFileError) as e:
                    yield relative, e

        for relative, path_or_error in fetched:
            if isinstance(path_or_error, MissingFileError):
                yield relative, path_or_error
                continue
            working[pool.submit(work, relative, path_or_error)] = relative
            while len(working) > n_threads:
                yield from finished()
        while working:
            yield from finished()
