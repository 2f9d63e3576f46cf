"""One fit, one maker: runs that share a store do not make the same fit twice at the same time.

A claim is a file in the store's `claims/`, created by whoever comes first and removed when the
record is written. Who died leaves its claim behind; it is void as soon as its process is gone (same
machine) or its pulse has stopped (another one). A claim saves work and nothing else: two records of
one key are the same record.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from beyondlinear.records.run_state import ProcessRecord, Pulse, clock_of, is_alive, process
from beyondlinear.runtime.files import cannot_write

PATIENCE = 2.0  # seconds between two looks at what another process makes

_UNKNOWN: ProcessRecord = {"host": "", "pid": 0, "born": None, "job": None}


class Claims:
    """The claims of one store."""

    def __init__(self, store_root: Path) -> None:
        self.root = store_root / "claims"

    @contextlib.contextmanager
    def taken(self, key: str) -> Iterator[bool]:
        """Whether the fit was free and is now ours, until the context ends.

        :raises ResultsError: the store cannot be written
        """
        path = self.root / key
        mine = self._take(path)
        if not mine and self.holder(key) is None:
            # void: whoever removes it first may try again
            void = path.with_suffix(f".{os.getpid()}")
            with contextlib.suppress(OSError):
                path.rename(void)
                void.unlink()
            mine = self._take(path)
        if not mine:
            yield False
            return
        try:
            with Pulse(path):
                yield True
        finally:
            path.unlink(missing_ok=True)

    def holder(self, key: str) -> ProcessRecord | None:
        """The process that makes this fit now, or None."""
        path = self.root / key
        try:
            last_beat = path.stat().st_mtime
            maker: ProcessRecord = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            # being written just now, or by somebody who died while writing
            last_beat = path.stat().st_mtime if path.exists() else 0.0
            maker = _UNKNOWN
        return maker if is_alive(maker, last_beat, clock_of(self.root)) else None

    def _take(self, path: Path) -> bool:
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(process()))
        except OSError as e:
            raise cannot_write(path, e) from e
        try:
            # with its content from the first moment, and only where there is none
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            return self._create(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        return True

    @staticmethod
    def _create(path: Path) -> bool:
        try:
            with open(path, "x", encoding="utf-8") as f:
                json.dump(process(), f)
        except FileExistsError:
            return False
        except OSError as e:
            raise cannot_write(path, e) from e
        return True


def wait_for(claims: Claims, keys: list[str], until: float | None = None) -> None:
    """Return as soon as one of these fits is free again."""
    started = time.monotonic()
    while all(claims.holder(key) is not None for key in keys):
        if until is not None and time.monotonic() - started > until:
            return
        time.sleep(PATIENCE)
