"""One record a fit, written last and atomically; what is done is read from records and from nothing else.

A record `<key>.json` holds the resolved config, the data's fingerprint, counts, training and metrics; beside it
`<key>.npz` holds the validation predictions by sample id. A run directory holds `fits_<key>.json`, the list of the fits
that belong to it, whether they were made there or found. The records of a large run that is finished move into one file
(packs.py).
"""

import hashlib
import json
import math
import os
import re
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from beyondlinear.errors import ResultsError
from beyondlinear.packs import Packs, pack
from beyondlinear.splits import Fold

# raised when results change on purpose: earlier records are then not taken for today's
NUMERICS_VERSION = 6

# keys of a config that do not determine a fit; a dataset is known by the fingerprint of what it gave
_NOT_SCIENCE = {"dataset", "logger", "results", "meters", "test"}
_NOT_SCIENCE_OF_SPLIT = {"fractions", "only_folds"}
_NOT_SCIENCE_OF_TRAINER = {"checkpoint_minutes"}

_STATUS = re.compile(rb'\n "status": "(\w+)"')  # of the record itself: what lies deeper is indented by more


def is_finished(record: Mapping[str, Any] | None) -> bool:
    """Whether a fit has a record that stays: a failed one is made again."""
    return record is not None and record.get("status") in ("done", "skipped")


def fit_key(
    config: Mapping[str, Any], fingerprint: str, fold: Fold, fraction: float, pretrained: bool | None = None
) -> str:
    """The key of a fit: a hash of all that determines it, the rows of its fold included.

    Paths, trackers and the other folds and fractions of the run are left out, so that a moved file or a longer list of
    fractions finds what was computed before. Commit and package versions are stored in the record, not hashed.
    """
    science = {k: v for k, v in config.items() if k not in _NOT_SCIENCE}
    science["split"] = {k: v for k, v in config["split"].items() if k not in _NOT_SCIENCE_OF_SPLIT}
    science["trainer"] = {k: v for k, v in config["trainer"].items() if k not in _NOT_SCIENCE_OF_TRAINER}
    # the model's own lr and ranges are resolved; those of the other models say nothing about this fit
    science["protocol"] = {k: v for k, v in config["protocol"].items() if k not in ("learning_rate", "search")}
    if config["tuning"]["method"] == "none":  # the number of trials that are not made, the ranges not drawn from
        science["tuning"] = "none"
        science["model"] = {k: v for k, v in config["model"].items() if k != "search"}
    science["dataset"] = config["dataset"]["name"]
    if config["control"]["name"] == "none":  # real labels are the same in every draw of a sweep
        science["control"] = "none"
    rows = {part: hashlib.sha256(where.astype("<i8").tobytes()).hexdigest() for part, where in fold.parts().items()}
    science |= {"fingerprint": fingerprint, "fold": fold.number, "rows": rows, "fraction": float(fraction)}
    if pretrained is not None:
        science["pretrained"] = pretrained
    return _hash(science | {"numerics": NUMERICS_VERSION})


def run_key(config: Mapping[str, Any]) -> str:
    """The name of a run's list of fits: its config, so that the same run in the same directory replaces its list."""
    return _hash({k: v for k, v in config.items() if k not in ("logger", "results")})


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Store:
    """The folder of all records, shared by all runs."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()
        self.packs = Packs(self.root)

    def path(self, key: str) -> Path:
        return self.root / key[:2] / f"{key}.json"

    def study_path(self, key: str) -> Path:
        """Where the trials of a nested tuning are kept while it is under way."""
        return self.root / "studies" / f"{key}.json"

    def checkpoint_path(self, key: str) -> Path:
        """Where a network's training is kept while it is under way."""
        return self.root / "checkpoints" / f"{key}.ckpt"

    def get(self, key: str) -> dict[str, Any] | None:
        """The record of a fit, or None; a fit that is done but lost its predictions is not there.

        :raises ResultsError: a file that is no record (records are written whole, so somebody else changed it)
        """
        # plain strings: with a hundred thousand records to gather, paths would take most of the time
        name = f"{self.root}/{key[:2]}/{key}"
        try:
            with open(f"{name}.json", "rb") as f:
                content = f.read()
        except FileNotFoundError:
            return self.packs.record(key)
        except OSError as e:
            raise _unreadable(self.path(key), e) from e
        record = _record(self.path(key), content)
        return record if record.get("status") != "done" or os.path.exists(f"{name}.npz") else None

    def status(self, key: str) -> str | None:
        """The status of a record, or None where there is none; some ten times as fast as `get`.

        :raises ResultsError: a file that is no record
        """
        path = self.path(key)
        try:
            found = _STATUS.search(path.read_bytes())
        except FileNotFoundError:
            return self.packs.status(key)
        except OSError as e:
            raise ResultsError(f"{path} cannot be read: {e.strerror or e}") from e
        status = found[1].decode() if found else str(read_record(path).get("status"))
        return None if status == "done" and not path.with_suffix(".npz").exists() else status

    def put(self, record: dict[str, Any], predictions: Mapping[str, np.ndarray] | None = None) -> None:
        """Write predictions, then the record, each to a temporary name first.

        :raises ResultsError: the disk is full or not writable; what was written before stays whole
        """
        path = self.path(record["key"])
        if predictions is not None:
            with atomic(path.with_suffix(".npz")) as temporary, open(temporary, "wb") as f:
                np.savez_compressed(f, allow_pickle=False, **predictions)
        write_json(path, record)

    def predictions(self, key: str) -> dict[str, np.ndarray] | None:
        """What is kept beside a record, e.g. sample_id (n,) str, code (n,) int64, classes (n_classes,) str, scores
        (n, n_classes) and, if calibrated, probabilities (n, n_classes) of the validation part; None where there is nothing.

        :raises ResultsError: a file that cannot be read
        """
        path = self.path(key).with_suffix(".npz")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        except FileNotFoundError:
            return self.packs.arrays(key)
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as e:
            raise ResultsError(
                f"{path} cannot be read ({type(e).__name__}: {e}); delete it and its fit will be made again"
            ) from e

    def keys(self) -> list[str]:
        """Of all records, packed or not."""
        return sorted({*(path.stem for path in self.root.glob("??/*.json")), *self.packs.keys()})

    def records(self) -> Iterator[dict[str, Any]]:
        for key in self.keys():
            record = self.get(key)
            if record is not None:
                yield record

    def pack(self, run: str, keys: Sequence[str], row: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
        """Move the finished records among these into one file (see `packs`); returns how many were moved."""
        done = [key for key in keys if self.path(key).exists() and self.status(key) in ("done", "skipped")]
        return pack(self.root, run, {key: (self.path(key), self.path(key).with_suffix(".npz")) for key in done}, row)


def stored(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray] | None]:
    """The record that a path STORE/ab/KEY.json names, and its arrays, be it still a file of its own or in a pack.

    :raises ResultsError: there is no such record
    """
    path = Path(path).absolute()
    store = Store(path.parent.parent)
    if path.suffix == ".json" and store.path(path.stem) == path:
        record = store.get(path.stem)
        if record is not None:
            return record, store.predictions(path.stem)
    if path.suffix == ".json" and path.is_file():  # a copy, somewhere else
        arrays = path.with_suffix(".npz")
        if not arrays.exists():
            return read_record(path), None
        with np.load(arrays, allow_pickle=False) as held:
            return read_record(path), dict(held)
    raise ResultsError(
        f"{path} is no record of a done fit; give one of …/records/ab/KEY.json (`beyondlinear results --csv` lists keys)"
    )


class atomic:
    """A temporary path beside `path`, renamed to it on success, removed on failure."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> str:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, self.temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.stem}.")
            os.close(handle)
        except OSError as e:
            raise cannot_write(self.path, e) from e
        return self.temporary

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
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
        f"cannot write {path}: {error.strerror or error}. Fits recorded before are whole; make room or choose another "
        "results.store, then give the same command again: it continues with the first unfinished fit"
    )


def read_json(path: Path) -> dict[str, Any]:
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, ValueError) as e:
        raise _unreadable(path, e) from e


def read_record(path: Path) -> dict[str, Any]:
    try:
        return _record(path, path.read_bytes())
    except OSError as e:
        raise _unreadable(path, e) from e


def _record(path: Path, content: bytes) -> dict[str, Any]:
    try:
        record = orjson.loads(content)
    except ValueError as e:
        raise _unreadable(path, e) from e
    if not isinstance(record, dict) or "key" not in record:
        raise _unreadable(path, "it has no key")
    return record


def _unreadable(path: Path, why: Exception | str) -> ResultsError:
    return ResultsError(f"{path} is not a readable record ({why}); delete it and its fit will be made again")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    with atomic(path) as temporary, open(temporary, "w", encoding="utf-8") as f:
        json.dump(plain(content), f, indent=1, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """JSON knows no NaN: a metric that is not defined is null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value if isinstance(value, str | int | bool | type(None)) else str(value)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
