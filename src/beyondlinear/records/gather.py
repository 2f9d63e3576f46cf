"""From records to the table: one row a fit."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import pandas as pd

from beyondlinear.records.columns import (
    CELL,
    COLUMNS,
    COUNTS,
    GROUPS,
    LEAK_PROBES,
    METRICS,
    NUMBERS,
    PROPERTIES,
    Row,
)
from beyondlinear.records.record import ComposedConfig, FitRecord
from beyondlinear.records.run_list import ListedFit, RunList, read_run_list
from beyondlinear.records.run_state import read_plan, read_state
from beyondlinear.records.store import RecordStore
from beyondlinear.records.variants import RowAndConfig, variants
from beyondlinear.runtime.errors import ResultsError


def row(record: FitRecord) -> Row:
    """One record as a row of COLUMNS; what a skipped fit does not have is None."""
    made: Row = dict.fromkeys(COLUMNS)
    for column in ("pretrained", "seed", "fold", "fraction", "status", "reason", "key"):
        made[column] = record.get(column)

    _fill(made, GROUPS, record["names"])
    _fill(made, PROPERTIES, record.get("model", {}))
    _fill(made, COUNTS, record.get("counts", {}))
    _fill(made, METRICS, record.get("metrics", {}))
    _fill(made, LEAK_PROBES, record.get("leak_probes", {}))

    optimum = record.get("optimum", {})
    optimum_metrics = optimum.get("metrics", {})
    made["optimum_gap"] = optimum.get("objective_gap")
    made["optimum_balanced_accuracy"] = optimum_metrics.get("balanced_accuracy")
    made["optimum_log_loss"] = optimum_metrics.get("log_loss")

    data = record.get("data", {})
    made["bayes_accuracy"] = data.get("bayes_accuracy")
    # of a control's labels with the real ones
    made["agreement"] = (data.get("control") or {}).get("agreement")
    made |= _control_settings(record.get("config", {}))

    made["epochs"] = record.get("training", {}).get("epochs")
    made["seconds"] = record.get("provenance", {}).get("seconds")
    return made


def _fill(made: Row, columns: Sequence[str], source: Mapping[str, object]) -> None:
    for column in columns:
        made[column] = source.get(column)


def _control_settings(config: ComposedConfig) -> Row:
    control = config.get("control") or {}
    return {"draw": control.get("draw"), "direction": control.get("direction")}


def as_table(records: Sequence[FitRecord]) -> pd.DataFrame:
    """The table of records, each with its own config."""
    return _table([(row(record), record.get("config", {})) for record in records])


def is_true(column: pd.Series) -> pd.Series:
    """A property as plain booleans: what a record does not say counts as false."""
    return column.astype("boolean").fillna(False).astype(bool)


def _table(rows: Sequence[RowAndConfig]) -> pd.DataFrame:
    """Rows with the configs that they were made with, in the order of cells, seeds and folds."""
    columns = {column: [made[column] for made, _ in rows] for column in COLUMNS}
    # the fits of one run have one config, and are no variants of each other
    of_one_run = len({id(config) for _, config in rows}) == 1
    columns["variant"] = [""] * len(rows) if of_one_run else list(variants(rows))
    table = pd.DataFrame(columns, columns=COLUMNS)
    table[NUMBERS] = table[NUMBERS].apply(pd.to_numeric)
    table[PROPERTIES] = table[PROPERTIES].astype("boolean")
    return table.sort_values([*CELL, "seed", "fold"], ignore_index=True)


def gather(directories: Sequence[str | Path], store: str | None = None) -> pd.DataFrame:
    """All fits of run and sweep directories (or of a store of records), one row each; a fit without
    a record is 'missing'. `attrs["stores"]` says where the records lie, `attrs["absent"]` which
    planned runs list no fits yet.

    :param store: where the records are now, if they were moved since
    :raises ResultsError: a directory that does not exist or lists no fits; two different fits where
        there can be one
    """
    if store is not None and not Path(store).is_dir():
        raise ResultsError(f"--store {store} is not a directory")
    rows: dict[str, RowAndConfig] = {}  # by the key of the fit
    stores: dict[str, RecordStore] = {}
    for directory in map(Path, directories):
        if not directory.is_dir():
            raise ResultsError(f"{directory} is not a directory")
        lists = sorted(directory.rglob("fits_*.json"))
        for path in lists:
            run = read_run_list(path)
            root = store or run["store"]
            records = stores.setdefault(root, RecordStore(root))
            rows |= _rows_of_run(run, records)
        if not lists:
            records = stores.setdefault(str(directory.absolute()), RecordStore(directory))
            rows |= _rows_of_store(records, directory)
    table = _table(list(rows.values()))
    dataset_seeds = {
        key: (config.get("dataset") or {}).get("seed") for key, (_, config) in rows.items()
    }
    _refuse_two_of_a_kind(table, dataset_seeds)
    table.attrs["absent"] = [absent for d in map(Path, directories) for absent in _absent(d)]
    table.attrs["stores"] = sorted(str(s.root) for s in stores.values())
    return table


def _rows_of_run(run: RunList, records: RecordStore) -> dict[str, RowAndConfig]:
    rows = {}
    for fit in run["fits"]:
        rows[fit["key"]] = (_row_of_listed(fit, run, records), run["config"])
    return rows


def _row_of_listed(fit: ListedFit, run: RunList, records: RecordStore) -> Row:
    """A found record says who made it first; in this table it counts as this run's."""
    key = fit["key"]
    packed = records.packs.row(key, COLUMNS)
    if packed is not None and not records.path(key).exists():
        return packed | run["names"] | _control_settings(run["config"])
    record = records.get(key)
    if record is None:
        return row(missing_record(fit, run))
    return row(as_of_run(record, run))


def missing_record(fit: ListedFit, run: RunList) -> FitRecord:
    """What is known of a fit that a run lists and that has no record."""
    known = {
        **fit,
        "seed": run["seed"],
        "status": "missing",
        "config": run["config"],
        "names": run["names"],
    }
    return cast(FitRecord, known)


def as_of_run(record: FitRecord, run: RunList) -> FitRecord:
    """A record with the choices of the run that lists it, whoever made it first."""
    return cast(FitRecord, {**record, "config": run["config"], "names": run["names"]})


def _rows_of_store(records: RecordStore, directory: Path) -> dict[str, RowAndConfig]:
    """:raises ResultsError: there is no record in it"""
    rows = {}
    for record in records.records():
        rows[record["key"]] = (row(record), record.get("config", {}))
    if not rows:
        raise ResultsError(
            f"{directory} lists no fits: give a run or sweep directory (outputs/runs/…,"
            " multirun/…) or a store of records"
        )
    return rows


def _absent(directory: Path) -> list[str]:
    """Planned runs of a sweep that never came so far as to list their fits, by their overrides."""
    planned = read_plan(directory)
    if planned is None:
        return []
    begun = set()
    for path in directory.rglob("state.json"):
        state = read_state(path)
        if state is not None and any(path.parent.glob("*_*.json")):
            begun.add(state["id"])
    return [" ".join(run["overrides"]) for run in planned["runs"] if run["id"] not in begun]


def _refuse_two_of_a_kind(table: pd.DataFrame, dataset_seeds: Mapping[str, object]) -> None:
    """:raises ResultsError: one cell, seed and fold has two done fits of different content"""
    identity = [*CELL, "direction", "draw", "seed", "fold"]
    done = table[table.status == "done"]
    with_seeds = done.assign(dataset_seed=done.key.map(dataset_seeds))
    twice = with_seeds.duplicated([*identity, "dataset_seed"], keep=False)
    if not twice.any():
        return
    first = done[twice].iloc[0]
    like_first = (done[identity].astype(str) == first[identity].astype(str)).all(axis=1)
    keys = done[twice & like_first].key
    described = ", ".join(
        f"{column} {first[column]}"
        for column in identity
        if pd.notna(first[column]) and first[column] != ""
    )
    raise ResultsError(
        f"{int(twice.sum())} fits are there more than once with different content, e.g."
        f" {described}: records {' and '.join(keys[:2])}. They were made from different data or by"
        " different versions, and a mean over them would say nothing: give the directories of one"
        " state of the data, or delete the older records"
    )


def pack(directories: Sequence[str | Path]) -> Iterator[tuple[str | Path, int, int]]:
    """Pack the finished records of each run of run or sweep directories; yields a directory, its
    records and packs.

    :raises ResultsError: a directory that lists no runs, or a disk that is full
    """
    for directory in directories:
        lists = sorted(Path(directory).rglob("fits_*.json"))
        if not lists:
            raise ResultsError(
                f"{directory} lists no fits: give a run or sweep directory (outputs/runs/…,"
                " multirun/…)"
            )
        n_records, n_packs = 0, 0
        for path in lists:
            run = read_run_list(path)
            keys = [fit["key"] for fit in run["fits"]]
            moved = RecordStore(run["store"]).pack(path.stem.removeprefix("fits_"), keys, row)
            n_records += moved
            n_packs += moved > 0
        yield directory, n_records, n_packs
