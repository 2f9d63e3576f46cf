"""What Neptune's client left offline, as tables; without the client, so that nobody's logs are locked in.

A Neptune run lies in a folder .neptune/offline/run__…: data-1.log, … hold one operation a line, upload_path the files.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from beyondlinear.errors import ResultsError
from beyondlinear.tables import as_table

_FIT = re.compile(r"fold\d+_fraction")


@dataclass
class LoggedFit:
    """One fit as Neptune's client holds it; losses: {epoch: {"train_loss": …}}; record: None where the fit did not end."""

    name: str
    folder: Path
    losses: dict[int, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    record: dict[str, Any] | None = None


def read(directories: Sequence[str | Path]) -> list[LoggedFit]:
    """Every fit in the offline data below the directories, in both layouts (one Neptune run per fit or per run).

    :raises ResultsError: a directory that does not exist or holds no offline data
    """
    found: list[LoggedFit] = []
    for directory in map(Path, directories):
        folders = sorted({p.parent for p in directory.rglob("data-*.log") if p.parent.name.startswith("run__")})
        if not folders:
            raise ResultsError(
                f"{directory} holds no offline data of Neptune (.neptune/offline/run__…/data-1.log); give the directory of a "
                "run or sweep that was made with logger=neptune"
            )
        for folder in folders:
            found += _fits(folder)
    return found


def fits_table(fits: Sequence[LoggedFit]) -> pd.DataFrame:
    """The table of `beyondlinear results`, one row a fit; a fit that was logged several times counts once.

    :raises ResultsError: no fit ended
    """
    records: dict[str, dict[str, Any]] = {}
    for fit in fits:
        if fit.record is not None and records.get(fit.record["key"], {}).get("status") != "done":
            records[fit.record["key"]] = fit.record
    if not records:
        raise ResultsError(f"none of {len(fits)} fits in these offline data ended; --losses FILE writes what there is")
    return as_table(list(records.values()))


def losses_table(fits: Sequence[LoggedFit]) -> pd.DataFrame:
    """One row an epoch of a fit, those of unfinished fits included."""
    rows = [
        {
            "key": (fit.record or {}).get("key"),
            "fit": fit.name,
            "epoch": epoch,
            **fit.losses[epoch],
            "folder": fit.folder.name,
        }
        for fit in fits
        for epoch in sorted(fit.losses)
    ]
    return pd.DataFrame(rows, columns=["key", "fit", "epoch", "train_loss", "tune_loss", "folder"])


def _fits(folder: Path) -> list[LoggedFit]:
    fits: dict[str, LoggedFit] = {}
    alone = ""
    for operation in _operations(folder):
        path, value = operation["path"], operation.get("value")
        if path == ["sys", "name"] and _FIT.match(str(value)):
            alone = str(value)
        name = path[0] if _FIT.match(path[0]) else alone
        if not name:
            continue
        fit = fits.setdefault(name, LoggedFit(name, folder))
        if operation["type"] == "LogFloats" and path[-1] in ("train_loss", "tune_loss"):
            for logged in operation["values"]:
                fit.losses[int(logged["step"])][path[-1]] = logged["value"]
        elif operation["type"] == "UploadFile" and path[-1] == "record":
            fit.record = _record(folder, operation)
    return list(fits.values())


def _operations(folder: Path) -> Iterator[dict[str, Any]]:
    files = sorted(folder.glob("data-*.log"), key=lambda p: int(p.stem.removeprefix("data-")))
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                operation = json.loads(line)["obj"]
            except (ValueError, KeyError, TypeError):  # the last line of a run that was killed
                continue
            yield operation


def _record(folder: Path, operation: dict[str, Any]) -> dict[str, Any] | None:
    name = operation.get("tmp_file_name")
    file = folder / "upload_path" / name if name else Path(operation.get("file_path") or "")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if "key" in record else None
