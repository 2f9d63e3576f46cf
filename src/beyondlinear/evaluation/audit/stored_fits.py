"""The audit of stored fits: from paths to records, row usage logs and sample manifests."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from beyondlinear.evaluation.audit.checks import Finding, audit_fit
from beyondlinear.evaluation.audit.row_usage import (
    RowUsageLog,
    SampleManifest,
    manifest_path,
    read_manifest,
)
from beyondlinear.records.record import FitRecord
from beyondlinear.records.run_list import read_run_list
from beyondlinear.records.store import RecordStore, load_record, read_record
from beyondlinear.runtime.errors import ResultsError

# reads what lies beside a record, when it is asked for
Arrays = Callable[[], dict[str, np.ndarray] | None]


def audit_paths(
    paths: Sequence[str | Path], store: str | None = None
) -> list[tuple[FitRecord, list[Finding]]]:
    """Every fit of run or sweep directories, of stores of records, or of single records, with its
    findings.

    A fit that is not done, or of which no row usage log or manifest is left, has one finding: "not
    audited".
    :param store: where the records are now, if they were moved since
    :raises ResultsError: a path that does not exist or holds no fits
    """
    if store is not None and not Path(store).is_dir():
        raise ResultsError(f"--store {store} is not a directory")
    audited: dict[str, tuple[FitRecord, list[Finding]]] = {}
    manifests: dict[Path, SampleManifest] = {}
    for path in map(Path, paths):
        for record, arrays, root in _fits(path, store):
            if record["key"] not in audited:
                audited[record["key"]] = record, _audited(record, arrays, root, manifests)
    return list(audited.values())


def _audited(
    record: FitRecord, arrays: Arrays, root: Path, manifests: dict[Path, SampleManifest]
) -> list[Finding]:
    try:
        row_usage, manifest, predictions = _evidence(record, arrays, root, manifests)
        return audit_fit(record, row_usage, manifest, predictions)
    except ResultsError as e:
        return [Finding("note", "not audited", str(e))]
    except (AttributeError, KeyError, TypeError, ValueError) as e:  # a record that was edited
        damaged = f"{record['key']}: the record is damaged ({type(e).__name__}: {e})"
        return [Finding("note", "not audited", damaged)]


def _fits(path: Path, store: str | None) -> Iterator[tuple[FitRecord, Arrays, Path]]:
    """The records under a path, each with a way to its arrays and the root of its store."""
    wanted = (
        "give a run or sweep directory (outputs/runs/…, multirun/…), a store of records, or a"
        " record (.json)"
    )
    if not path.exists() and RecordStore(path.absolute().parent.parent).status(path.stem) is None:
        raise ResultsError(f"{path} does not exist; {wanted}")
    if path.is_file() and path.suffix != ".json":
        raise ResultsError(f"{path} is no record; {wanted}")
    if not path.is_dir() and not path.name.startswith("fits_"):
        root = Path(store) if store is not None else path.absolute().parent.parent
        record = read_record(path) if path.exists() else load_record(path)[0]
        yield record, lambda: load_record(path)[1], root
        return
    lists = [path] if path.is_file() else sorted(path.rglob("fits_*.json"))
    for run in map(read_run_list, lists):
        records = RecordStore(store or run["store"])
        mine = {"config": run["config"], "names": run["names"]}
        for fit in run["fits"]:
            found = records.get(fit["key"])
            missing = {**fit, "seed": run["seed"], "status": "missing"}
            arrays = partial(records.predictions, fit["key"])
            yield cast(FitRecord, (found or missing) | mine), arrays, records.root
    if lists:
        return
    records = RecordStore(path)
    keys = records.keys()
    if not keys:
        raise ResultsError(f"{path} holds no fits; {wanted}")
    for key in keys:
        yield _readable(records, key), partial(records.predictions, key), records.root


def _evidence(
    record: FitRecord, arrays: Arrays, root: Path, manifests: dict[Path, SampleManifest]
) -> tuple[RowUsageLog, SampleManifest, dict[str, np.ndarray]]:
    """What was written down about a fit: its row usage log, the manifest, its predictions."""
    if record.get("status") != "done":
        raise ResultsError(f"the fit is {record.get('status')}")
    try:
        held = arrays()
        if held is None:
            raise ResultsError(
                "its predictions are gone; delete the record and its fit will be made again"
            )
        row_usage = RowUsageLog.from_arrays(held, record["data"]["n_samples"])
        predictions = {k: held[k] for k in ("sample_id", "code", "scores")}
        where = manifest_path(root, record["data"]["fingerprint"])
    except (OSError, EOFError, KeyError, zlib.error) as e:
        raise ResultsError(
            f"{record['key']}: its arrays or its record cannot be read ({type(e).__name__}: {e})"
        ) from e
    if row_usage is None:
        raise ResultsError(
            "no row usage log was kept with the record; delete it and its fit will be made again"
            " with one"
        )
    if where not in manifests:
        manifests[where] = read_manifest(where)
    return row_usage, manifests[where], predictions


def _readable(records: RecordStore, key: str) -> FitRecord:
    """A record, or what stands for one that cannot be read: it must not hide the others."""
    try:
        record = records.get(key)
        status = "without predictions"
    except ResultsError as e:
        record = None
        status = f"unreadable: {e}"
    return record or cast(FitRecord, {"key": key, "status": status})
