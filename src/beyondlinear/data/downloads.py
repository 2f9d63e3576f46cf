"""Many files at once, with progress: files, bytes, rate and time left; plain lines where there is no terminal."""

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

from beyondlinear.data.download import Mirrors, MissingFileError
from beyondlinear.data.gene_lines import DamagedFileError
from beyondlinear.errors import DataError
from beyondlinear.progress import duration

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class Counter:
    """Files, samples and bytes done, said at most every `every` seconds in plain lines, or live on a terminal."""

    def __init__(self, what: str, files: int, samples: int = 0, every: float = 10.0, unit: str = "files") -> None:
        self.what, self.files, self.samples, self.every, self.unit = what, files, samples, every, unit
        self.done_files = self.done_samples = self.bytes = 0
        self.started = self.spoke = time.monotonic()
        self.lock = threading.Lock()
        self.bar: Progress | None = None

    def __enter__(self) -> "Counter":
        if self.files > 1 and Console().is_terminal:
            self.bar = Progress(TextColumn("{task.description}"), BarColumn(), transient=True)
            self.task = self.bar.add_task(self.what, total=self.files)
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
        elif self.spoke > self.started:
            log.info("%s", self.text())

    def received(self, n: int) -> None:
        with self.lock:
            self.bytes += n
        self._say()

    def file_done(self, samples: int = 0) -> None:
        with self.lock:
            self.done_files += 1
            self.done_samples += samples
        self._say()

    def text(self) -> str:
        seconds = max(1e-9, time.monotonic() - self.started)
        words = [f"{self.what}: {self.done_files:,} of {self.files:,} {self.unit}"]
        if self.samples:
            words.append(f"{self.done_samples:,} of {self.samples:,} samples ({self.done_samples / seconds:.0f}/s)")
        if self.bytes:
            words.append(f"{self.bytes / 1e6:,.0f} MB downloaded ({self.bytes / 1e6 / seconds:.1f} MB/s)")
        share = self.done_samples / self.samples if self.samples else self.done_files / max(1, self.files)
        if 0 < share < 1:
            words.append(f"about {duration(seconds / share - seconds)} left")
        return ", ".join(words)

    def _say(self) -> None:
        with self.lock:
            now = time.monotonic()
            if self.bar is not None:
                self.bar.update(self.task, completed=self.done_files, description=self.text())
            elif now - self.spoke > self.every:
                self.spoke = now
                log.info("%s", self.text())


def fetch_all(
    mirrors: Mirrors, relatives: list[str], workers: int, what: str
) -> tuple[dict[str, Path], dict[str, str]]:
    """Fetch files; those that no mirror has are named with the reason, in place of an error.

    :returns: paths by relative path, and reasons by relative path
    """
    found, missing = {}, {}
    with Counter(what, len(relatives)) as counter:
        for relative, got in as_fetched(mirrors, relatives, workers, counter):
            if isinstance(got, Path):
                found[relative] = got
            else:
                missing[relative] = str(got)
            counter.file_done()
    return found, missing


def as_fetched(
    mirrors: Mirrors, relatives: Iterable[str], workers: int, counter: Counter, ahead: int = 8
) -> Iterator[tuple[str, Path | MissingFileError]]:
    """Files in the order in which they come, `workers` at a time and at most `ahead` each in waiting."""
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
    """What `work` makes of each file, as it is finished, one thread a processor.

    A file that is missing, or that `work` finds damaged, comes as its error.
    """
    n = os.cpu_count() or 1
    with ThreadPoolExecutor(n) as pool:
        working: dict[Future[Result], str] = {}

        def finished() -> Iterator[tuple[str, Result | DataError]]:
            for future in wait(working, return_when=FIRST_COMPLETED).done:
                relative = working.pop(future)
                try:
                    yield relative, future.result()
                except (MissingFileError, DamagedFileError) as e:
                    yield relative, e

        for relative, got in fetched:
            if isinstance(got, MissingFileError):
                yield relative, got
                continue
            working[pool.submit(work, relative, got)] = relative
            while len(working) > n:
                yield from finished()
        while working:
            yield from finished()
