"""From records to tables: one row a fit, one row a cell (a cell's fits are its folds and seeds)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from beyondlinear.errors import ResultsError
from beyondlinear.results import Store, read_json

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
    rows = [row(r) | {"variant": v} for r, v in zip(records, _variants(records), strict=True)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    numbers = [*COUNTS, *METRICS, *OPTIMUM, *METERS, "bayes_accuracy", "agreement", "draw", "epochs", "seconds"]
    table[numbers] = table[numbers].apply(pd.to_numeric)
    return table.sort_values([*CELL, "seed", "fold"], ignore_index=True)


def _variants(records: Sequence[dict[str, Any]]) -> list[str]:
    """What else differs between records of the same names, e.g. "dataset.n_clusters=8": such fits are no repeats of each
    other and must not share a cell."""
    configs = [dict(_flat(r.get("config", {}))) for r in records]
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    for r, config in zip(records, configs, strict=True):
        for key, value in config.items():
            values[_scope(key, r), key].add(str(value))
    return [
        ", ".join(f"{key}={config[key]}" for key in sorted(config) if len(values[_scope(key, r), key]) > 1)
        for r, config in zip(records, configs, strict=True)
    ]


def _flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{path}.")
        elif not path.startswith(_FREE):
            yield path, value


def _scope(key: str, record: dict[str, Any]) -> str:
    """Keys of a group are compared among records with the same choice in it: a net's lr is no variant of a forest's."""
    group = key.split(".")[0]
    return f"{group}={record['names'].get(group)}|{record['names']['protocol']}"


def gather(directories: Sequence[str | Path], store: str | None = None) -> pd.DataFrame:
    """All fits of run and sweep directories (or of a store of records), one row each; a fit without a record is
    'missing'. `attrs["stores"]` says where the records lie.

    :param store: where the records are now, if they were moved since
    :raises ResultsError: a directory that does not exist or lists no fits
    """
    found: dict[str, dict[str, Any]] = {}
    stores: list[str] = []
    for directory in map(Path, directories):
        if not directory.is_dir():
            raise ResultsError(f"{directory} is not a directory")
        if store is not None and not Path(store).is_dir():
            raise ResultsError(f"--store {store} is not a directory")
        lists = sorted(directory.rglob("fits_*.json"))
        before = len(found)
        for path in lists:
            run = read_json(path)
            records = Store(store or run["store"])
            stores.append(str(records.root))
            for fit in run["fits"]:
                missing = {
                    "names": run["names"],
                    "seed": run["seed"],
                    "config": run["config"],
                    **fit,
                    "status": "missing",
                }
                found[fit["key"]] = (records.get(fit["key"]) or missing) | {
                    "config": run["config"],
                    "names": run["names"],
                }
        if not lists:
            found |= {r["key"]: r for r in Store(directory).records()}
            stores.append(str(directory.absolute()))
        if len(found) == before and not lists:
            raise ResultsError(
                f"{directory} lists no fits: give a run or sweep directory (outputs/runs/…, multirun/…) or a store of records"
            )
    table = as_table(list(found.values()))
    table.attrs["stores"] = sorted(set(stores))
    return table


def write(table: pd.DataFrame, path: str) -> None:
    """CSV or Parquet, by the name."""
    if not path.endswith((".csv", ".csv.gz", ".parquet")):
        raise ResultsError(f"--csv {path}: the name must end in .csv, .csv.gz or .parquet")
    try:
        if path.endswith(".parquet"):
            table.to_parquet(path, index=False)
        else:
            table.to_csv(path, index=False)
    except OSError as e:
        raise ResultsError(f"--csv {path} cannot be written: {e.strerror or e}") from e


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over folds and seeds, per cell."""
    groups = table.groupby(CELL, dropna=False, sort=False)
    means = groups.agg(
        fits=("key", "size"),
        done=("status", lambda s: int((s == "done").sum())),
        n_train=("n_train", "mean"),
        n_classes=("n_classes", "max"),
        mean=("balanced_accuracy", "mean"),
        sd=("balanced_accuracy", "std"),
        accuracy=("accuracy", "mean"),
        auroc=("auroc", "mean"),
        log_loss=("log_loss", "mean"),
        bayes=("bayes_accuracy", "mean"),
        optimum_gap=("optimum_gap", "mean"),
        optimum_log_loss=("optimum_log_loss", "mean"),
    ).reset_index()
    means["naive"] = 1 / means["n_classes"]
    return means


def print_cells(table: pd.DataFrame, console: Console) -> None:
    """The comparison: one line a cell; what is the same in all stands in the title."""
    means = cells(table)
    same = [c for c in CELL if means[c].nunique(dropna=False) == 1 and c not in ("model", "signal_removal")]
    title = ", ".join(
        f"{c} {_word(means[c].iloc[0])}" for c in same if _word(means[c].iloc[0]) not in ("none", "", "–")
    )
    view = Table(title=title, title_justify="left", title_style="", header_style="bold")
    varying = [c for c in CELL if c not in same]
    for column in varying:
        view.add_column(column.replace("_", " "))
    bayes = bool(means.bayes.notna().any())  # known for simulations alone
    best = bool(means.optimum_log_loss.notna().any())  # of linear models trained like nets
    more = ("optimum gap", "optimum log-loss") if best else ()
    numbers = (
        "n train",
        "balanced accuracy",
        "naive",
        *(["Bayes"] * bayes),
        "AUROC",
        "log-loss",
        *more,
        "fits",
    )
    for column in numbers:
        view.add_column(column, justify="right")
    for _, cell in means.iterrows():
        fits = f"{cell.done}" + (f" of {cell.fits}" if cell.done < cell.fits else "")
        spread = "" if pd.isna(cell.sd) else f" ± {cell.sd:.3f}"
        accuracy = "–" if pd.isna(cell["mean"]) else f"{cell['mean']:.3f}{spread}"
        view.add_row(
            *(_word(cell[c]) for c in varying),
            *("–" if pd.isna(cell.n_train) else f"{cell.n_train:,.0f}", accuracy, _number(cell.naive)),
            *([_number(cell.bayes)] * bayes),
            *(_number(cell.auroc), _number(cell.log_loss)),
            *((_number(cell.optimum_gap), _number(cell.optimum_log_loss)) if best else ()),
            fits,
        )
    console.print(view)
    _print_meters(table, console)
    problems = table[table.status != "done"]
    for (status, reason), group in problems.groupby(["status", "reason"], dropna=False, sort=False):
        text = f"{len(group)} fit{'s' if len(group) > 1 else ''} {status}"
        console.print(text + ("" if pd.isna(reason) else f": {reason}"), highlight=False, markup=False)


def _print_meters(table: pd.DataFrame, console: Console) -> None:
    """What the leak meters read after removal; they look at the parts, not at a model."""
    read = table[table.forest.notna()]
    if read.empty:
        return
    parts = [c for c in CELL if c not in ("model", "tuning")]
    means = read.groupby(parts, dropna=False, sort=False)[METERS].mean().reset_index()
    varying = [c for c in parts if c == "signal_removal" or means[c].nunique(dropna=False) > 1]
    view = Table(title="leak meters after removal", title_justify="left", title_style="", header_style="bold")
    for column in varying:
        view.add_column(column.replace("_", " "))
    for column in ("‖x − mean‖², AUC", "random forest, balanced accuracy"):
        view.add_column(column, justify="right")
    for _, cell in means.iterrows():
        view.add_row(*(_word(cell[c]) for c in varying), _number(cell.norm_auc), _number(cell.forest))
    console.print(view)


def print_fits(table: pd.DataFrame, console: Console, limit: int = 200) -> None:
    """One line a fit, without the columns that are the same in all."""
    shown = [*CELL, "seed", "fold", "n_train", "n_validation", *METRICS, "epochs", "seconds", "status"]
    kept = [c for c in shown if c in ("fold", "balanced_accuracy", "seconds") or table[c].nunique(dropna=False) > 1]
    view = Table(header_style="bold", title=f"{len(table):,} fits", title_justify="left", title_style="")
    for column in kept:
        view.add_column(column.replace("_", " "), justify="left" if table[column].dtype == object else "right")
    for _, fit in table.head(limit).iterrows():
        view.add_row(*(_number(fit[c]) if c in (*METRICS, "seconds") else _word(fit[c]) for c in kept))
    console.print(view)
    if len(table) > limit:
        console.print(f"… {len(table) - limit:,} more; --csv FILE holds all")


def conclusion(table: pd.DataFrame) -> str:
    """What the comparison shows, in one sentence made of its numbers, and what it does not show."""
    means = cells(table).dropna(subset=["mean"])
    if means.empty:
        return "No fit is done, so there is nothing to compare."
    linear = means.model.isin(["logistic_regression", "linear_svm", "ridge_logistic", "ridge_svm"])
    said = []
    for removal, label in (("none", "with the signal present"), ("split", "after split signal removal")):
        here = means[means.signal_removal == removal]
        clauses = [
            f"{kind} {_range(here[mask.loc[here.index]]['mean'])}"
            for kind, mask in (("linear models reach", linear), ("the other models", ~linear))
            if mask.loc[here.index].any()
        ]
        if clauses:
            said.append(f"{label}, {' and '.join(clauses)}")
    if not said:
        return f"Balanced accuracy is {_range(means['mean'])}; the naive baseline is {_range(means['naive'])}."
    text = f"Balanced accuracy (naive baseline {_range(means['naive'])}): {'; '.join(said)}."
    if (means.signal_removal == "split").any():
        text += (
            " A model above the baseline after removal is not by itself evidence of non-linear signal: on clustered or "
            "discrete data the removal writes the labels into the expression (README, 'What it can and cannot show')."
        )
    return text


def _range(values: pd.Series) -> str:
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    return low if low == high else f"{low}–{high}"


def _word(value: Any) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: Any) -> str:
    return "–" if pd.isna(value) else f"{value:.3f}"
