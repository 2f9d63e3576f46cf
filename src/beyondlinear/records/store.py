"""One record a fit, written last and atomically; what is done is read from records and from nothing
else.

A record `<key>.json` holds the resolved config, the data's fingerprint, counts, training and
metrics; beside it `<key>.npz` holds the test predictions by sample id. A run directory holds
`fits_<key>.json`, the list of the fits that belong to it, whether they were made there or found.
`beyondlinear pack` moves the records of finished runs into one file a run (packs.py).
"""

import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeGuard

import numpy as np
import orjson

from beyondlinear.records.packs import Packs, pack
from beyondlinear.records.record import FitRecord
from beyondlinear.records.upgrade import upgrade, upgrade_arrays
from beyondlinear.runtime.errors import ResultsError
from beyondlinear.runtime.files import atomic, unreadable, write_json

# the status of the record itself: what lies deeper is indented by more
_STATUS = re.compile(rb'\n "status": "(\w+)"')

FINISHED = ("done", "skipped")


def is_finished(record: FitRecord | None) -> TypeGuard[FitRecord]:
    """Whether a fit has a record that stays: a failed one is made again."""
    return record is not None and record.get("status") in FINISHED


class RecordStore:
    """The folder of all records, shared by all runs."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()

    @cached_property
    def packs(self) -> Packs:
        """The records of large runs that `beyondlinear pack` moved into one file each."""
        return Packs(self.root)

    def path(self, key: str) -> Path:
        """Where the record of a fit lies; its arrays lie beside it, with the suffix .npz."""
        return self.root / key[:2] / f"{key}.json"

    def study_path(self, key: str) -> Path:
        """Where the trials of a nested tuning are kept while it is under way."""
        return self.root / "studies" / f"{key}.json"

    def checkpoint_path(self, key: str) -> Path:
        """Where a network's training is kept while it is under way."""
        return self.root / "checkpoints" / f"{key}.ckpt"

    def get(self, key: str) -> FitRecord | None:
        """The record of a fit, or None; a fit that is done but lost its predictions is not there.

        :raises ResultsError: a file that is no record (records are written whole, so somebody else
            changed it)
        """
        # plain strings: with a hundred thousand records to gather, paths would take most of the
        # time
        name = f"{self.root}/{key[:2]}/{key}"
        try:
            with open(f"{name}.json", "rb") as f:
                content = f.read()
        except FileNotFoundError:
            if not os.path.isdir(f"{self.root}/packs"):
                return None
            packed = self.packs.record(key)
            return None if packed is None else _record(self.path(key), packed)
        except OSError as e:
            raise unreadable(self.path(key), e) from e
        record = _record(self.path(key), content)
        return record if record.get("status") != "done" or os.path.exists(f"{name}.npz") else None

    def status(self, key: str) -> str | None:
        """The status of a record, or None where there is none; some ten times as fast as `get`.

        :raises ResultsError: a file that is no record
        """
        path = self.path(key)
        try:
            match = _STATUS.search(path.read_bytes())
        except FileNotFoundError:
            return self.packs.status(key)
        except OSError as e:
            raise ResultsError(f"{path} cannot be read: {e.strerror or e}") from e
        status = match[1].decode() if match else str(read_record(path).get("status"))
        return None if status == "done" and not path.with_suffix(".npz").exists() else status

    def put(self, record: FitRecord, arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """Write the arrays, then the record, each to a temporary name first.

        :raises ResultsError: the disk is full or not writable; what was written before stays whole
        """
        path = self.path(record["key"])
        if arrays is not None:
            with atomic(path.with_suffix(".npz")) as temporary, open(temporary, "wb") as f:
                np.savez_compressed(f, allow_pickle=False, **arrays)
        write_json(path, record)

    def predictions(self, key: str) -> dict[str, np.ndarray] | None:
        """What is kept beside a record, e.g. sample_id (n,) str, code (n,) int64, classes
        (n_classes,) str, scores (n, n_classes) and, if calibrated, probabilities (n, n_classes) of
        the test part; None where there is nothing.

        :raises ResultsError: a file that cannot be read
        """
        path = self.path(key).with_suffix(".npz")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return upgrade_arrays(dict(arrays))
        except FileNotFoundError:
            packed = self.packs.arrays(key)
            return None if packed is None else upgrade_arrays(packed)
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as e:
            raise ResultsError(
                f"{path} cannot be read ({type(e).__name__}: {e}); delete it and its fit will be"
                " made again"
            ) from e

    def array_names(self, key: str) -> set[str]:
        """The names of what is kept beside a record, without reading it; empty where there is
        nothing.

        :raises ResultsError: a file that cannot be read
        """
        path = self.path(key).with_suffix(".npz")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return set(arrays.files)
        except FileNotFoundError:
            return set(self.packs.arrays(key) or {})
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as e:
            raise ResultsError(
                f"{path} cannot be read ({type(e).__name__}: {e}); delete it and its fit will be"
                " made again"
            ) from e

    def keys(self) -> list[str]:
        """Of all records, packed or not."""
        return sorted({*(path.stem for path in self.root.glob("??/*.json")), *self.packs.keys()})

    def records(self) -> Iterator[FitRecord]:
        """All records.

        :raises ResultsError: a file that is no record
        """
        for key in self.keys():
            record = self.get(key)
            if record is not None:
                yield record

    def pack(
        self, run: str, keys: Sequence[str], row: Callable[[FitRecord], dict[str, object]]
    ) -> int:
        """Move the finished records among these into one file (see `packs`).

        :param run: the key of the run that they belong to
        :param row: a record's row of the table
        :returns: how many were moved
        :raises ResultsError: the disk is full or not writable, or a file is no record
        """
        files = {}
        rows = {}
        for key in keys:
            path = self.path(key)
            if not path.exists() or self.status(key) not in FINISHED:
                continue
            files[key] = (path, path.with_suffix(".npz"))
            rows[key] = row(read_record(path))
        return pack(self.root, run, files, rows)


def load_record(path: str | Path) -> tuple[FitRecord, dict[str, np.ndarray] | None]:
    """The record that a path STORE/ab/KEY.json names, and its arrays, be it still a file of its own
    or in a pack.

    :raises ResultsError: there is no such record
    """
    path = Path(path).absolute()
    store = RecordStore(path.parent.parent)
    if path.suffix == ".json" and store.path(path.stem) == path:
        record = store.get(path.stem)
        if record is not None:
            return record, store.predictions(path.stem)
    if path.suffix == ".json" and path.is_file():  # a copy, somewhere else
        arrays_path = path.with_suffix(".npz")
        if not arrays_path.exists():
            return read_record(path), None
        with np.load(arrays_path, allow_pickle=False) as arrays:
            return read_record(path), upgrade_arrays(dict(arrays))
    raise ResultsError(
        f"{path} is no record of a done fit; give one of …/records/ab/KEY.json (`beyondlinear"
        " results --csv` lists keys)"
    )


def read_record(path: Path) -> FitRecord:
    """The record in a file of its own.

    :raises ResultsError: a file that is missing or no record
    """
    try:
        return _record(path, path.read_bytes())
    except OSError as e:
        raise unreadable(path, e) from e


def _record(path: Path, content: bytes) -> FitRecord:
    try:
        record = orjson.loads(content)
        if not isinstance(record, dict) or "key" not in record:
            raise unreadable(path, "it has no key")
        return upgrade(record)
    except (ValueError, AttributeError, KeyError, TypeError) as e:
        raise unreadable(path, e) from e
