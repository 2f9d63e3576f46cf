"""The audit of stored fits: from paths to records, ledgers and sheets."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from beyondlinear.audit import Finding, audit_fit
from beyondlinear.errors import ResultsError
from beyondlinear.ledger import Ledger, Sheet, read_sheet, sheet_path
from beyondlinear.results import Store, read_json, read_record, stored

Arrays = Callable[[], dict[str, np.ndarray] | None]


def audit_paths(paths: Sequence[str | Path], store: str | None = None) -> list[tuple[dict[str, Any], list[Finding]]]:
    """Every fit of run or sweep directories, of stores of records, or of single records, with its findings.

    A fit that is not done, or of which no ledger or sheet is left, has one finding: "not audited".
    :param store: where the records are now, if they were moved since
    :raises ResultsError: a path that does not exist or holds no fits
    """
    if store is not None and not Path(store).is_dir():
        raise ResultsError(f"--store {store} is not a directory")
    audited: dict[str, tuple[dict[str, Any], list[Finding]]] = {}
    sheets: dict[Path, Sheet] = {}
    for path in map(Path, paths):
        for record, arrays, root in _fits(path, store):
            if record["key"] not in audited:
                try:
                    findings = audit_fit(record, *_evidence(record, arrays, root, sheets))
                except ResultsError as e:
                    findings = [Finding("note", "not audited", str(e))]
                except (AttributeError, KeyError, TypeError, ValueError) as e:  # somebody's hand was in the record
                    damaged = f"{record['key']}: the record is damaged ({type(e).__name__}: {e})"
                    findings = [Finding("note", "not audited", damaged)]
                audited[record["key"]] = record, findings
    return list(audited.values())


def _fits(path: Path, store: str | None) -> Iterator[tuple[dict[str, Any], Arrays, Path]]:
    """The records under a path, each with a way to its arrays and the root of its store."""
    wanted = "give a run or sweep directory (outputs/runs/…, multirun/…), a store of records, or a record (.json)"
    if not path.exists() and Store(path.absolute().parent.parent).status(path.stem) is None:
        raise ResultsError(f"{path} does not exist; {wanted}")
    if path.is_file() and path.suffix != ".json":
        raise ResultsError(f"{path} is no record; {wanted}")
    if not path.is_dir() and not path.name.startswith("fits_"):
        root = Path(store) if store is not None else path.absolute().parent.parent
        record = read_record(path) if path.exists() else stored(path)[0]
        yield record, lambda: stored(path)[1], root
        return
    lists = [path] if path.is_file() else sorted(path.rglob("fits_*.json"))
    for run in map(read_json, lists):
        records = Store(store or run["store"])
        said = {"config": run["config"], "names": run["names"]}
        for fit in run["fits"]:
            record = records.get(fit["key"]) or {**fit, "seed": run["seed"], "status": "missing"}
            yield record | said, partial(records.predictions, fit["key"]), records.root
    if lists:
        return
    records = Store(path)
    keys = records.keys()
    if not keys:
        raise ResultsError(f"{path} holds no fits; {wanted}")
    for key in keys:
        yield _readable(records, key), partial(records.predictions, key), records.root


def _evidence(
    record: dict[str, Any], arrays: Arrays, root: Path, sheets: dict[Path, Sheet]
) -> tuple[Ledger, Sheet, dict[str, np.ndarray]]:
    """What was written down about a fit: its ledger, the sheet, its predictions."""
    if record.get("status") != "done":
        raise ResultsError(f"the fit is {record.get('status')}")
    try:
        held = arrays()
        if held is None:
            raise ResultsError("its predictions are gone; delete the record and its fit will be made again")
        ledger = Ledger.from_arrays(held, record["data"]["n_samples"])
        predictions = {k: held[k] for k in ("sample_id", "code", "scores")}
        where = sheet_path(root, record["data"]["fingerprint"])
    except (OSError, EOFError, KeyError, zlib.error) as e:
        raise ResultsError(f"{record['key']}: its arrays or its record cannot be read ({type(e).__name__}: {e})") from e
    if ledger is None:
        raise ResultsError("no ledger was kept with the record; delete it and its fit will be made again with one")
    if where not in sheets:
        sheets[where] = read_sheet(where)
    return ledger, sheets[where], predictions


def _readable(records: Store, key: str) -> dict[str, Any]:
    """A record, or what stands for one that cannot be read: it must not hide the others."""
    try:
        return records.get(key) or {"key": key, "status": "without predictions"}
    except ResultsError as e:
        return {"key": key, "status": f"unreadable: {e}"}
