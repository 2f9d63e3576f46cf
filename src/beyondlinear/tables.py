"""The table in cells (a cell's fits are its folds and seeds), written and printed."""

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from beyondlinear.errors import ResultsError
from beyondlinear.gathering import CELL, COLUMNS, GROUPS, METERS, METRICS, NAMES, OPTIMUM, as_table, gather

__all__ = ["CELL", "COLUMNS", "GROUPS", "METERS", "METRICS", "NAMES", "OPTIMUM", "as_table", "cells", "gather"]


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
