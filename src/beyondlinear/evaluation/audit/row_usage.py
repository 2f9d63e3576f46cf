"""Which rows each part of a fit held and each fitted step saw, written down when it happened: what
the audit reads.

The row_usage of a fit lies with its predictions; the manifest says who the rows are and is shared
by all fits on the same data.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from beyondlinear.records.record import RowsRecord, RowUsageRecord
from beyondlinear.runtime.errors import ResultsError
from beyondlinear.runtime.files import atomic
from beyondlinear.tasks.duplicates import find_duplicates
from beyondlinear.tasks.task import Samples

PARTS = ("train", "validation", "test", "pretraining train", "pretraining validation")
# rows of the train part that signal removal left out; what was learnt before it saw them
THINNED = "thinned train"

# preparation: gene selection and scaling; weights: the model's; stopping: the epoch; calibration:
# Platt; penalty: that of a ridge; tuning: nested choice of hyperparameters; removal: an eraser that
# is fitted on one part and applied to others
STEPS = (
    "preparation",
    "class weights",
    "weights",
    "stopping",
    "calibration",
    "penalty",
    "tuning",
    "pretraining",
    "removal",
)


class RowUsageLog:
    """Rows by part and by fitted step, as positions in the task's samples.

    A row given to two parts stays in both: that is what an audit has to find.
    """

    def __init__(self, n_samples: int) -> None:
        self.n_samples = n_samples
        self._rows: dict[tuple[str, str], np.ndarray] = {}

    def part(self, name: str, rows: np.ndarray) -> None:
        """A part of the fit (one of PARTS, or THINNED) holds these rows."""
        self._add("part", name, (*PARTS, THINNED), rows)

    def step(self, step: str, rows: np.ndarray) -> None:
        """A fitted step (one of STEPS) has seen these rows, beside those that it saw before."""
        self._add("step", step, STEPS, rows)

    def _add(self, kind: str, name: str, known: tuple[str, ...], rows: np.ndarray) -> None:
        if name not in known:
            raise ValueError(f"'{name}' is no {kind} that the audit knows: {', '.join(known)}")
        held = self._rows.setdefault((kind, name), np.zeros(self.n_samples, dtype=bool))
        rows = np.asarray(rows)
        if not len(rows):
            return
        # a mask or a −1 for "not found" would be taken by numpy and mean other rows
        if rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= self.n_samples:
            raise ValueError(f"{kind} {name}: {rows} are not positions in {self.n_samples} samples")
        held[rows] = True

    def names(self, kind: str) -> list[str]:
        """Every "part" or "step" that was written down, be it without rows."""
        return [name for k, name in self._rows if k == kind]

    def rows(self, kind: str, name: str) -> np.ndarray:
        """Ascending positions of a "part" or a "step"; none for what was not written down."""
        held = self._rows.get((kind, name))
        return np.zeros(0, dtype=np.int64) if held is None else np.flatnonzero(held)

    def parts_of(self, rows: np.ndarray) -> dict[str, int]:
        """How many of the rows lie in each part, and in none ("unused")."""
        held = {part: np.intersect1d(rows, self.rows("part", part)) for part in (*PARTS, THINNED)}
        held["unused"] = np.setdiff1d(rows, np.concatenate(list(held.values())))
        return {part: len(here) for part, here in held.items() if len(here)}

    def arrays(self) -> dict[str, np.ndarray]:
        """row_usage_names (k,) str, e.g. "part:train", "step:weights"; row_usage_rows (k,
        ⌈n_samples/8⌉) uint8, a bit a row."""
        held = np.array(list(self._rows.values()), dtype=bool).reshape(
            len(self._rows), self.n_samples
        )
        names = np.array([f"{kind}:{name}" for kind, name in self._rows], dtype=np.str_)
        return {"row_usage_names": names, "row_usage_rows": np.packbits(held, axis=1)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], n_samples: int) -> "RowUsageLog | None":
        """The row_usage that `arrays` gave, or None where there is none.

        :raises ResultsError: a row usage log of another number of samples
        """
        if "row_usage_names" not in arrays or "row_usage_rows" not in arrays:
            return None
        names, packed = arrays["row_usage_names"], arrays["row_usage_rows"]
        if packed.shape != (len(names), -(-n_samples // 8)):
            raise ResultsError(
                f"a row usage log of shape {packed.shape} is not one of {len(names)} parts and"
                f" steps over {n_samples} samples; delete the record and its fit will be made again"
            )
        row_usage = cls(n_samples)
        for name, bits in zip(names, packed, strict=True):
            kind, _, what = str(name).partition(":")
            row_usage._rows[kind, what] = np.unpackbits(bits, count=n_samples).astype(bool)
        return row_usage

    def summary(self, sample_ids: np.ndarray) -> RowUsageRecord:
        """The number of rows of each part and step, and `hash_of` their sample ids."""
        return {
            "parts": self._summary("part", sample_ids),
            "steps": self._summary("step", sample_ids),
        }

    def _summary(self, kind: str, sample_ids: np.ndarray) -> dict[str, RowsRecord]:
        summary: dict[str, RowsRecord] = {}
        for name in self.names(kind):
            rows = self.rows(kind, name)
            summary[name] = {"n": len(rows), "ids": hash_of(sample_ids[rows])}
        return summary

    def differences(self, summary: RowUsageRecord | None, sample_ids: np.ndarray) -> list[str]:
        """Parts and steps of which a record's summary says something else than this row usage log,
        e.g. "part validation"."""
        now = self.summary(sample_ids)
        recorded: RowUsageRecord = summary or {"parts": {}, "steps": {}}
        kinds = (
            ("part", now["parts"], recorded["parts"]),
            ("step", now["steps"], recorded["steps"]),
        )
        different = []
        for kind, here, there in kinds:
            names = [n for n in dict.fromkeys([*here, *there]) if here.get(n) != there.get(n)]
            different += [f"{kind} {name}" for name in names]
        return different


def hash_of(sample_ids: np.ndarray) -> str:
    """SHA-256, in hex, of the sorted ids joined by a zero byte: the same for any order."""
    ids = sorted(np.asarray(sample_ids, dtype=np.str_).tolist())
    return hashlib.sha256("\0".join(ids).encode()).hexdigest()


@dataclass(frozen=True)
class SampleManifest:
    """Who the samples of a task are.

    sample_ids: (n,) str; groups: (n,) int64, the split's; codes: (n,) int64, positions in
    `classes`; exact, near: (n,) int64, number of the set of duplicates that a sample is in, −1 for
    none (`duplicates.find_duplicates`).
    """

    sample_ids: np.ndarray
    groups: np.ndarray
    codes: np.ndarray
    classes: list[str]
    exact: np.ndarray
    near: np.ndarray

    def write(self, path: Path) -> None:
        """:raises ResultsError: the disk is full or not writable"""
        arrays = {
            "sample_ids": np.asarray(self.sample_ids, dtype=np.str_),
            "classes": np.array(self.classes, dtype=np.str_),
        }
        numbers = {name: getattr(self, name) for name in ("groups", "codes", "exact", "near")}
        with atomic(path) as temporary, open(temporary, "wb") as f:
            np.savez_compressed(f, allow_pickle=False, **arrays, **numbers)


def make_manifest(samples: Samples) -> SampleManifest:
    """The manifest of a task's samples. Make it before signal removal, which changes the values in
    place."""
    exact, near = find_duplicates(samples.x)
    return SampleManifest(
        samples.sample_ids, samples.groups, samples.codes, list(samples.classes), exact, near
    )


def manifest_path(store_root: Path, fingerprint: str) -> Path:
    """Where the manifest of the data with this fingerprint lies in a store of records."""
    return store_root / "samples" / f"{fingerprint}.npz"


def read_manifest(path: Path) -> SampleManifest:
    """:raises ResultsError: a file that is missing or no manifest"""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            held = dict(arrays)
        classes = [str(c) for c in held.pop("classes")]
        manifest = SampleManifest(classes=classes, **held)
        lengths = {name: len(array) for name, array in held.items()}
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as e:
        raise ResultsError(
            f"{path} is not a readable manifest of samples ({type(e).__name__}: {e}); delete it,"
            " then the next run on these data writes it again"
        ) from e
    if len(set(lengths.values())) > 1:
        raise ResultsError(
            f"{path} is not a manifest of samples: its columns differ in length ({lengths});"
            " delete it"
        )
    return manifest
