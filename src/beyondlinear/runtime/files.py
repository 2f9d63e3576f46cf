"""Files that are whole or not there: atomic writes, JSON, and what is said when a disk is full."""

import json
import math
import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from beyondlinear.runtime.errors import ResultsError


class atomic:
    """A temporary path beside `path`, renamed to it on success, removed on failure.

    :raises ResultsError: the disk is full or not writable; `path` is then as it was
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> str:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, self.temporary = tempfile.mkstemp(
                dir=self.path.parent, prefix=f".{self.path.stem}."
            )
            os.close(handle)
        except OSError as e:
            raise cannot_write(self.path, e) from e
        return self.temporary

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        try:
            if error is None:
                with open(self.temporary, "rb") as f:
                    os.fsync(f.fileno())
                os.chmod(self.temporary, 0o644)
                os.replace(self.temporary, self.path)
                return
        except OSError as e:
            error = e
        Path(self.temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise cannot_write(self.path, error) from error


def cannot_write(path: Path, error: OSError) -> ResultsError:
    return ResultsError(
        f"cannot write {path}: {error.strerror or error}. Fits recorded before are whole; make room"
        " or choose another results.store, then give the same command again: it continues with the"
        " first unfinished fit"
    )


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    :raises ResultsError: a file that is missing or no JSON
    """
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, ValueError) as e:
        raise unreadable(path, e) from e


def unreadable(path: Path, why: Exception | str) -> ResultsError:
    return ResultsError(
        f"{path} is not a readable record ({why}); delete it and its fit will be made again"
    )


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """:raises ResultsError: the disk is full or not writable; `path` is then as it was"""
    with atomic(path) as temporary, open(temporary, "w", encoding="utf-8") as f:
        json.dump(plain(content), f, indent=1, ensure_ascii=False, allow_nan=False)


def plain(value: object) -> object:
    """The same in the types of JSON, which knows no NaN: a metric that is not defined is null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    if value is None or isinstance(value, str | int | bool):
        return value
    return str(value)


def now() -> str:
    """The time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
