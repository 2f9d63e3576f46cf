"""From records to the table: one row a fit."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from beyondlinear.errors import ResultsError
from beyondlinear.results import Store, read_json
from beyondlinear.sweeps.state import read_plan, read_state

GROUPS = ["dataset", "task", "model", "signal_removal", "control", "split", "protocol", "tuning"]
NAMES = [*GROUPS, "pretrained"]
METRICS = ["balanced_accuracy", "accuracy", "macro_f1", "auroc", "log_loss"]
# of the certified optimum of the same fit, beside a linear model that was trained like a net
OPTIMUM = ["optimum_gap", "optimum_balanced_accuracy", "optimum_log_loss"]
# leak meters of the same parts: AUC of a sample's squared length; balanced accuracy of a forest, after removal
METERS = ["norm_auc", "forest"]
COUNTS = ["n_train", "n_fit", "n_tune", "n_validation", "n_train_groups", "n_classes"]
COLUMNS = [
    *NAMES,
    "variant",
    "direction",
    "draw",
    "seed",
    "fold",
    "fraction",
    *COUNTS,
    *METRICS,
    *OPTIMUM,
    *METERS,
    "bayes_accuracy",
    "agreement",
    "epochs",
    "seconds",
    "status",
    "reason",
    "key",
]
CELL = [*NAMES, "variant", "fraction"]

# keys of a config that may differ between the fits of one cell
_FREE = ("seed", "dataset.seed", "results.", "logger.", "split.fractions", "split.only_folds", "control.draw")


def row(record: dict[str, Any]) -> dict[str, Any]:
    """One record as a row of COLUMNS; what a skipped fit does not have is missing."""
    parts: list[dict[str, Any]] = [record, record["names"], record.get("counts", {}), record.get("metrics", {})]
    merged = {k: v for part in parts for k, v in part.items()}
    optimum = record.get("optimum", {})
    merged |= {f"optimum_{k}": optimum.get("metrics", {}).get(k) for k in ("balanced_accuracy", "log_loss")}
    merged["optimum_gap"] = optimum.get("objective_gap")
    merged |= record.get("meters", {})
    data = record.get("data", {})
    merged["bayes_accuracy"] = data.get("bayes_accuracy")
    merged["agreement"] = (data.get("control") or {}).get("agreement")  # of a control's labels with the real ones
    control = record.get("config", {}).get("control") or {}
    merged |= {k: control.get(k) for k in ("draw", "direction")}
    merged["epochs"] = record.get("training", {}).get("epochs")
    merged["seconds"] = record.get("circumstances", {}).get("seconds")
    return {c: merged.get(c) for c in COLUMNS}


def as_table(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The table of records, each with its own config."""
    return _table([(row(r), r.get("config", {})) for r in records])


def _table(rows: Sequence[tuple[dict[str, Any], Mapping[str, Any]]]) -> pd.DataFrame:
    """Rows with the configs that they were made with; the fits of a run share one, as the same object or an equal one."""
    configs: dict[int, dict[str, Any]] = {}
    for _, config in rows:
        if id(config) not in configs:
            configs[id(config)] = dict(_flat(config))
    kinds = {(id(config), *_choices(made)): made for made, config in rows}
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    for (config, *_), made in kinds.items():
        for key, value in configs[config].items():
            values[_scope(key, made), key].add(str(value))
    variants = {
        kind: ", ".join(
            f"{key}={configs[kind[0]][key]}"
            for key in sorted(configs[kind[0]])
            if len(values[_scope(key, made), key]) > 1
        )
        for kind, made in kinds.items()
    }
    columns = {c: [made.get(c) for made, _ in rows] for c in COLUMNS}
    columns["variant"] = [variants[(id(config), *_choices(made))] for made, config in rows]
    table = pd.DataFrame(columns, columns=COLUMNS)
    numbers = [*COUNTS, *METRICS, *OPTIMUM, *METERS, "bayes_accuracy", "agreement", "draw", "epochs", "seconds"]
    table[numbers] = table[numbers].apply(pd.to_numeric)
    return table.sort_values([*CELL, "seed", "fold"], ignore_index=True)


def _choices(made: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(made[group] for group in GROUPS)


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{path}.")
        elif not path.startswith(_FREE):
            yield path, value


def _scope(key: str, made: Mapping[str, Any]) -> str:
    """Keys of a group are compared among fits with the same choice in it: a net's lr is no variant of a forest's, and such fits
    are no repeats of each other and must not share a cell."""
    group = key.split(".")[0]
    return f"{group}={made.get(group)}|{made['protocol']}"


def gather(directories: Sequence[str | Path], store: str | None = None) -> pd.DataFrame:
    """All fits of run and sweep directories (or of a store of records), one row each; a fit without a record is
    'missing'. `attrs["stores"]` says where the records lie, `attrs["absent"]` which planned runs list no fits yet.

    :param store: where the records are now, if they were moved since
    :raises ResultsError: a directory that does not exist or lists no fits; two different fits where there can be one
    """
    found: dict[str, tuple[dict[str, Any], Mapping[str, Any]]] = {}
    stores: dict[str, Store] = {}
    if store is not None and not Path(store).is_dir():
        raise ResultsError(f"--store {store} is not a directory")
    for directory in map(Path, directories):
        if not directory.is_dir():
            raise ResultsError(f"{directory} is not a directory")
        lists = sorted(directory.rglob("fits_*.json"))
        for path in lists:
            run = read_json(path)
            root = store or run["store"]
            records = stores.setdefault(root, Store(root))
            found |= {fit["key"]: (_row_of(fit, run, records), run["config"]) for fit in run["fits"]}
        if not lists:
            records = stores.setdefault(str(directory.absolute()), Store(directory))
            mine = {r["key"]: (row(r), r.get("config", {})) for r in records.records()}
            if not mine:
                raise ResultsError(
                    f"{directory} lists no fits: give a run or sweep directory (outputs/runs/…, multirun/…) or a store of "
                    "records"
                )
            found |= mine
    table = _table(list(found.values()))
    _refuse_two_of_a_kind(table, {key: config.get("dataset", {}).get("seed") for key, (_, config) in found.items()})
    table.attrs["absent"] = [absent for d in map(Path, directories) for absent in _absent(d)]
    table.attrs["stores"] = sorted(str(s.root) for s in stores.values())
    return table


def _absent(directory: Path) -> list[str]:
    """Planned runs of a sweep that never came so far as to list their fits, by their overrides."""
    planned = read_plan(directory)
    if planned is None:
        return []
    begun = {
        said["id"]
        for path in directory.rglob("state.json")
        if (said := read_state(path)) and any(path.parent.glob("*_*.json"))
    }
    return [" ".join(run["overrides"]) for run in planned["runs"] if run["id"] not in begun]


def _refuse_two_of_a_kind(table: pd.DataFrame, dataset_seeds: Mapping[str, Any]) -> None:
    """:raises ResultsError: one cell, seed and fold has two done fits of different content"""
    done = table[table.status == "done"]
    which = [*CELL, "direction", "draw", "seed", "fold"]
    twice = done.assign(dataset_seed=done.key.map(dataset_seeds)).duplicated([*which, "dataset_seed"], keep=False)
    if not twice.any():
        return
    one = done[twice].iloc[0]
    same = done[twice & (done[which].astype(str) == one[which].astype(str)).all(axis=1)]
    raise ResultsError(
        f"{int(twice.sum())} fits are there more than once with different content, e.g. "
        f"{', '.join(f'{c} {one[c]}' for c in which if pd.notna(one[c]) and one[c] != '')}: "
        f"records {' and '.join(same.key[:2])}. "
        "They were made from different data or by different versions, and a mean over them would say nothing: give the "
        "directories of one state of the data, or delete the older records"
    )


def _row_of(fit: dict[str, Any], run: dict[str, Any], records: Store) -> dict[str, Any]:
    """A found record says who made it first; in this table it counts as this run's."""
    key = fit["key"]
    packed = records.packs.row(key, COLUMNS)
    if packed is not None and not records.path(key).exists():
        control = run["config"].get("control") or {}
        return packed | run["names"] | {k: control.get(k) for k in ("draw", "direction")}
    record = records.get(key) or {**fit, "seed": run["seed"], "status": "missing"}
    return row(record | {"config": run["config"], "names": run["names"]})


def pack(directories: Sequence[str | Path]) -> Iterator[tuple[str | Path, int, int]]:
    """Pack the finished records of each run of run or sweep directories; yields a directory, its records and packs.

    :raises ResultsError: a directory that lists no runs, or a disk that is full
    """
    for directory in directories:
        lists = sorted(Path(directory).rglob("fits_*.json"))
        if not lists:
            raise ResultsError(f"{directory} lists no fits: give a run or sweep directory (outputs/runs/…, multirun/…)")
        moved = []
        for path in lists:
            run = read_json(path)
            keys = [fit["key"] for fit in run["fits"]]
            moved.append(Store(run["store"]).pack(path.stem.removeprefix("fits_"), keys, row))
        yield directory, sum(moved), sum(n > 0 for n in moved)
