"""The records of a finished run in one file: a grid of 600,000 fits would otherwise be 1.2 million
files.

A pack is a zip, `packs/<run>_<content>.zip`, with the members `<key>.json` and `<key>.npz` as they
were. Beside it lies `<run>_<content>.json`, its index: of each fit the status and its row of the
table. The index is written last; a pack without one is not there. Packs are never changed, and two
packs may hold the same fit.
"""

import contextlib
import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict

import numpy as np
import orjson

from beyondlinear.runtime.errors import ResultsError
from beyondlinear.runtime.files import atomic

VERSION = 1


class PackedFit(TypedDict):
    """What the index of a pack says of a fit."""

    status: str  # of its record
    row: dict[str, object]  # of the table, with the columns of the version that packed it


class Packs:
    """The packs of one store. Looks again when the folder changed."""

    def __init__(self, store_root: Path) -> None:
        self.root = store_root / "packs"
        self._read_indices: set[str] = set()
        self._folder_changed = -1
        self._fits: dict[str, tuple[str, PackedFit]] = {}  # key → name of the pack, entry
        self._open: tuple[str, zipfile.ZipFile] | None = None

    def _entry(self, key: str) -> tuple[str, PackedFit] | None:
        if key not in self._fits:
            self._look()
        return self._fits.get(key)

    def _look(self) -> None:
        try:
            changed = self.root.stat().st_mtime_ns
        except OSError:
            return
        if changed == self._folder_changed:
            return
        for path in sorted(self.root.glob("*.json")):
            if path.stem in self._read_indices or not path.with_suffix(".zip").exists():
                continue
            try:
                index = orjson.loads(path.read_bytes())
                fits = index["fits"] if index["version"] == VERSION else {}
            except (OSError, ValueError, KeyError, TypeError) as e:
                raise ResultsError(
                    f"{path} is not a readable index of records ({e}); delete it with its .zip, and"
                    " their fits are made again"
                ) from e
            self._read_indices.add(path.stem)
            self._fits |= {key: (path.stem, entry) for key, entry in fits.items()}
        self._folder_changed = changed

    def keys(self) -> list[str]:
        """Of all fits in packs."""
        self._look()
        return sorted(self._fits)

    def status(self, key: str) -> str | None:
        """The status of a packed fit, or None where no pack holds it."""
        entry = self._entry(key)
        return None if entry is None else entry[1]["status"]

    def row(self, key: str, columns: Iterable[str]) -> dict[str, object] | None:
        """A packed fit's row of the table; None where there is none with these columns."""
        entry = self._entry(key)
        row = None if entry is None else entry[1]["row"]
        return dict(row) if row is not None and set(columns) <= set(row) else None

    def record(self, key: str) -> bytes | None:
        """A packed record, as its file was.

        :raises ResultsError: a pack that is damaged
        """
        return self._read(key, "json")

    def arrays(self, key: str) -> dict[str, np.ndarray] | None:
        """What was kept beside a packed record.

        :raises ResultsError: a pack that is damaged
        """
        content = self._read(key, "npz")
        if content is None:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return dict(arrays)

    def _read(self, key: str, kind: str) -> bytes | None:
        entry = self._entry(key)
        if entry is None:
            return None
        path = self.root / f"{entry[0]}.zip"
        try:
            if self._open is None or self._open[0] != entry[0]:
                self.close()
                self._open = entry[0], zipfile.ZipFile(path)
            return self._open[1].read(f"{key}.{kind}")
        except KeyError:  # a skipped fit has no arrays
            return None
        except (OSError, zipfile.BadZipFile) as e:
            raise ResultsError(
                f"{path} is not a readable pack of records ({e}); delete it with its .json, and its"
                " fits will be made again"
            ) from e

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None


def pack(
    store_root: Path,
    run: str,
    files: Mapping[str, tuple[Path, Path]],
    rows: Mapping[str, dict[str, object]],
) -> int:
    """Move the records of a run's finished fits from files of their own into a pack.

    :param files: the record and the arrays of each fit by its key; those that are not there are
        left out
    :param rows: each record's row of the table, by key
    :returns: how many fits were moved
    :raises ResultsError: the disk is full or not writable; the records stay where they were
    """
    present = {key: paths for key, paths in sorted(files.items()) if paths[0].exists()}
    if not present:
        return 0
    name = f"{run}_{hashlib.sha256(' '.join(present).encode()).hexdigest()[:12]}"
    fits: dict[str, PackedFit] = {}
    archive_path = store_root / "packs" / f"{name}.zip"
    with atomic(archive_path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for key, (record, arrays) in present.items():
            content = record.read_bytes()
            fits[key] = {"status": orjson.loads(content)["status"], "row": rows[key]}
            archive.writestr(f"{key}.json", content, zipfile.ZIP_DEFLATED, 6)
            if arrays.exists():  # compressed already
                archive.write(arrays, f"{key}.npz", zipfile.ZIP_STORED)
    index = {"version": VERSION, "fits": fits}
    with atomic(archive_path.with_suffix(".json")) as temporary, open(temporary, "wb") as f:
        f.write(orjson.dumps(index, option=orjson.OPT_SERIALIZE_NUMPY))
    for record, arrays in present.values():
        record.unlink(missing_ok=True)
        arrays.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others are in it
            record.parent.rmdir()
    return len(present)
