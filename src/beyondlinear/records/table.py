"""The table in cells (a cell's fits are its folds and seeds), written and printed."""

from collections.abc import Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table

from beyondlinear.records.columns import (
    CELL,
    COLUMNS,
    GROUPS,
    LEAK_PROBES,
    METRICS,
    NAMES,
    OPTIMUM,
    PROPERTIES,
)
from beyondlinear.records.gather import as_table, gather, is_true
from beyondlinear.runtime.errors import ResultsError

__all__ = [
    "CELL",
    "COLUMNS",
    "GROUPS",
    "LEAK_PROBES",
    "METRICS",
    "NAMES",
    "OPTIMUM",
    "PROPERTIES",
    "as_table",
    "cells",
    "conclusion",
    "gather",
    "print_cells",
    "print_fits",
    "write",
]


def write(table: pd.DataFrame, path: str) -> None:
    """CSV or Parquet, by the name.

    :raises ResultsError: another ending, or a path that cannot be written
    """
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
    table = table.assign(linear=is_true(table.linear))
    groups = table.groupby(CELL, dropna=False, sort=False)
    means = groups.agg(
        linear=("linear", "max"),  # a fit without a record does not say
        fits=("key", "size"),
        done=("status", lambda s: int((s == "done").sum())),
        n_outer_train=("n_outer_train", "mean"),
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
    varying = _varying(means, CELL, always=("model", "signal_removal"))
    bayes_known = bool(means.bayes.notna().any())  # for simulations alone
    optimum_known = bool(means.optimum_log_loss.notna().any())  # linear models trained like nets

    numbers = ["n train", "balanced accuracy", "naive"]
    if bayes_known:
        numbers.append("Bayes")
    numbers += ["AUROC", "log-loss"]
    if optimum_known:
        numbers += ["optimum gap", "optimum log-loss"]
    numbers.append("fits")
    same = [column for column in CELL if column not in varying]
    shown = _empty_table(_title(means, same), varying, numbers)

    for _, cell in means.iterrows():
        words = [_word(cell[column]) for column in varying]
        words += [_count(cell.n_outer_train), _mean_and_sd(cell["mean"], cell.sd)]
        words.append(_number(cell.naive))
        if bayes_known:
            words.append(_number(cell.bayes))
        words += [_number(cell.auroc), _number(cell.log_loss)]
        if optimum_known:
            words += [_number(cell.optimum_gap), _number(cell.optimum_log_loss)]
        all_done = cell.done == cell.fits
        words.append(f"{cell.done}" if all_done else f"{cell.done} of {cell.fits}")
        shown.add_row(*words)
    console.print(shown)
    _print_leak_probes(table, console)
    _print_without_result(table, console)


def _varying(table: pd.DataFrame, columns: Sequence[str], always: Sequence[str]) -> list[str]:
    """Columns that are not the same in all rows, and those that are shown anyway."""
    return [c for c in columns if c in always or table[c].nunique(dropna=False) > 1]


def _title(means: pd.DataFrame, same: Sequence[str]) -> str:
    words = {column: _word(means[column].iloc[0]) for column in same}
    return ", ".join(f"{c} {word}" for c, word in words.items() if word not in ("none", "", "–"))


def _empty_table(title: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="", header_style="bold")
    for column in texts:
        table.add_column(column.replace("_", " "))
    for column in numbers:
        table.add_column(column, justify="right")
    return table


def _print_leak_probes(table: pd.DataFrame, console: Console) -> None:
    """What the leak probes read after removal; they look at the parts, not at a model."""
    read = table[table.forest.notna()]
    if read.empty:
        return
    parts = [c for c in CELL if c not in ("model", "tuning")]
    means = read.groupby(parts, dropna=False, sort=False)[LEAK_PROBES].mean().reset_index()
    varying = _varying(means, parts, always=("signal_removal",))
    shown = _empty_table(
        "leak probes after removal",
        varying,
        ["‖x − mean‖², AUC", "random forest, balanced accuracy"],
    )
    for _, cell in means.iterrows():
        words = [_word(cell[column]) for column in varying]
        shown.add_row(*words, _number(cell.norm_auc), _number(cell.forest))
    console.print(shown)


def _print_without_result(table: pd.DataFrame, console: Console) -> None:
    problems = table[table.status != "done"]
    for (status, reason), group in problems.groupby(["status", "reason"], dropna=False, sort=False):
        text = f"{len(group)} fit{'s' if len(group) > 1 else ''} {status}"
        if not pd.isna(reason):
            text += f": {reason}"
        console.print(text, highlight=False, markup=False)


def print_fits(table: pd.DataFrame, console: Console, limit: int = 200) -> None:
    """One line a fit, without the columns that are the same in all."""
    columns = [
        *CELL,
        "seed",
        "fold",
        "n_outer_train",
        "n_test",
        *METRICS,
        "epochs",
        "seconds",
        "status",
    ]
    kept = _varying(table, columns, always=("fold", "balanced_accuracy", "seconds"))
    shown = _empty_table(f"{len(table):,} fits", [], [])
    for column in kept:
        is_text = table[column].dtype == object
        shown.add_column(column.replace("_", " "), justify="left" if is_text else "right")
    for _, fit in table.head(limit).iterrows():
        words = []
        for column in kept:
            to_three_digits = column in (*METRICS, "seconds")
            words.append(_number(fit[column]) if to_three_digits else _word(fit[column]))
        shown.add_row(*words)
    console.print(shown)
    if len(table) > limit:
        console.print(f"… {len(table) - limit:,} more; --csv FILE holds all")


def conclusion(table: pd.DataFrame) -> str:
    """What the comparison shows, in one sentence made of its numbers, and what it does not show."""
    means = cells(table).dropna(subset=["mean"])
    if means.empty:
        return "No fit is done, so there is nothing to compare."
    removals = sorted(set(means.signal_removal) - {"none"})
    clauses = []
    present = _linear_and_others(means[means.signal_removal == "none"])
    if present:
        clauses.append(f"with the signal present, {present}")
    for removal in removals:
        after = _linear_and_others(means[means.signal_removal == removal])
        clauses.append(f"after {removal} signal removal, {after}")
    naive = _range(means["naive"])
    text = f"Balanced accuracy (naive baseline {naive}): {'; '.join(clauses)}."
    if removals:
        text += (
            " A model above the baseline after removal is not by itself evidence of non-linear"
            " signal: on clustered or discrete data the removal writes the labels into the"
            " expression (README, 'What it can and cannot show')."
        )
    silent = sorted(set(table.model[(table.status == "done") & table.linear.isna()]))
    if silent:
        text += (
            f" The records of {', '.join(silent)} do not say whether the model is linear; it is"
            " counted among the others."
        )
    return text


def _linear_and_others(means: pd.DataFrame) -> str:
    """ "linear models reach 0.97 and the other models 0.99", "" where there is no cell."""
    linear = means[means.linear]
    others = means[~means.linear]
    clauses = []
    if len(linear):
        clauses.append(f"linear models reach {_range(linear['mean'])}")
    if len(others):
        clauses.append(f"the other models {_range(others['mean'])}")
    return " and ".join(clauses)


def _range(values: pd.Series) -> str:
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    return low if low == high else f"{low}–{high}"


def _word(value: object) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3f}"


def _count(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:,.0f}"


def _mean_and_sd(mean: float, sd: float) -> str:
    if pd.isna(mean):
        return "–"
    return f"{mean:.3f}" if pd.isna(sd) else f"{mean:.3f} ± {sd:.3f}"
