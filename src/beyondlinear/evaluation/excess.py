"""Excess over the control: what a model reaches with the real labels beyond what it reaches with
labels that are linear by construction, in the same folds, after the same removal.

Under the hypothesis that the real labels are linear too, the real result is one more draw of the
control's. Its excess over the draws' mean then lies, with 95 % probability, within t_{B−1} · sd ·
√(1 + 1/B) of zero (the prediction interval of one more normal draw); the p-value is the rank of the
real result among the draws, (1 + #{draws ≥ real}) / (B + 1).
"""

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy.stats import t

from beyondlinear.records.gather import is_true
from beyondlinear.records.table import NAMES
from beyondlinear.runtime.errors import ResultsError

CONTROL = "linear_labels"
WHAT = [
    "dataset",
    "task",
    "signal_removal",
    "model",
    "split",
    "protocol",
    "tuning",
    "pretrained",
    "variant",
    "fraction",
]
_NUMBERS = (
    "real labels",
    "linear labels",
    "draws",
    "Bayes",
    "agreement",
    "excess",
    "95 % interval",
    "p",
)


def excess(table: pd.DataFrame) -> pd.DataFrame:
    """One row a cell that has both real and control labels.

    Columns: those of WHAT, `direction`; linear: whether the model is; real: mean balanced accuracy
    with the real labels; draws: B; control, control_sd: mean and standard deviation over draws
    (each the mean of its folds and seeds); bayes: what no model can honestly exceed with the
    control's labels; excess, low, high: with its 95 % interval, NaN below two draws; p; agreement
    of control and real labels; chance: one over the number of classes.

    :param table: as `tables.gather` gives it
    :raises ResultsError: no cell has both
    """
    done = table[table.status == "done"].copy()
    done["linear"] = is_true(done.linear)
    done["direction"] = done.direction.fillna("")
    done["variant"] = done.variant.map(_without_control)
    controls = done[done.control == CONTROL]
    rows = []
    for cell, real in done[done.control == "none"].groupby(WHAT, dropna=False, sort=False):
        names = dict(zip(WHAT, cell, strict=True))
        for direction, draws in _of_cell(controls, names).groupby("direction", sort=False):
            rows.append({**names, "direction": direction, **_compare(real, draws)})
    if not rows:
        raise ResultsError(
            f"no cell here has both control=none and control={CONTROL} done; run both, e.g. python"
            " train.py -m control=none,linear_labels … with the same models, removals and splits"
        )
    return pd.DataFrame(rows).sort_values(
        ["variant", "direction", "signal_removal", "model"], ignore_index=True
    )


def _without_control(variant: str) -> str:
    """A variant without the settings of the control: "control.draw=1, model.lr=0.1" is
    "model.lr=0.1"."""
    settings = variant.split(", ")
    return ", ".join(setting for setting in settings if not setting.startswith("control."))


def _of_cell(fits: pd.DataFrame, names: dict[str, object]) -> pd.DataFrame:
    """The fits with these values in these columns, where missing equals missing."""
    for column, value in names.items():
        is_same = fits[column].isna() if pd.isna(value) else fits[column] == value
        fits = fits[is_same]
    return fits


def _compare(real: pd.DataFrame, draws: pd.DataFrame) -> dict[str, object]:
    """The numbers of one cell.

    :param real: fits with the real labels; draws: fits with the control's
    """
    value = float(real.balanced_accuracy.mean())
    per_draw = draws.groupby("draw").balanced_accuracy.mean().to_numpy()
    n_draws = len(per_draw)
    mean = float(per_draw.mean())
    sd, half_width = np.nan, np.nan
    if n_draws > 1:
        sd = float(per_draw.std(ddof=1))
        half_width = float(t.ppf(0.975, n_draws - 1)) * sd * np.sqrt(1 + 1 / n_draws)
    above = value - mean
    return {
        "linear": bool(real.linear.iloc[0]),
        "real": value,
        "draws": n_draws,
        "control": mean,
        "control_sd": sd,
        "bayes": float(draws.bayes_accuracy.mean()),
        "excess": above,
        "low": above - half_width,
        "high": above + half_width,
        "p": (1 + (per_draw >= value).sum()) / (n_draws + 1),
        "agreement": float(draws.agreement.mean()),
        "chance": 1 / float(real.n_classes.max()),
    }


def print_excess(found: pd.DataFrame, console: Console) -> None:
    """One line a cell; what is the same in all stands in the title."""
    columns = [*WHAT, "direction"]
    varying = [
        c for c in columns if c in ("model", "signal_removal") or found[c].nunique(dropna=False) > 1
    ]
    same = {c: str(found[c].iloc[0]) for c in NAMES if c in columns and c not in varying}
    title = ", ".join(
        f"{c} {value}" for c, value in same.items() if value not in ("none", "", "nan", "None")
    )
    shown = Table(title=title, title_justify="left", title_style="", header_style="bold")
    for column in varying:
        shown.add_column(column.replace("_", " "))
    for column in _NUMBERS:
        shown.add_column(column, justify="right")
    for _, row in found.iterrows():
        spread = "" if np.isnan(row.control_sd) else f" ± {row.control_sd:.3f}"
        interval = "–" if np.isnan(row.low) else f"{row.low:+.3f} … {row.high:+.3f}"
        shown.add_row(
            *[str(row[column]) for column in varying],
            f"{row.real:.3f}",
            f"{row.control:.3f}{spread}",
            f"{row.draws:.0f}",
            f"{row.bayes:.3f}",
            f"{row.agreement:.3f}",
            f"{row.excess:+.3f}",
            interval,
            f"{row.p:.3f}",
        )
    console.print(shown)


def reading(found: pd.DataFrame, no_contrast: float) -> str:
    """What the table lets one say, of the cells after removal where there are any.

    :param no_contrast: agreement of control and real labels from which a cell decides nothing
    """
    removed = found[found.signal_removal != "none"]
    if len(removed):
        found = removed
    sentences = []
    standard_error = found.control_sd.fillna(0.0) / np.sqrt(found.draws)
    written = found[found.control - 2 * standard_error > found.bayes]
    if len(written):
        sentences.append(
            f"In {len(written)} of {len(found)} cells labels that are linear by construction are"
            " predicted above their Bayes accuracy, which the removal must have written into the"
            f" data: {_some(written)}."
        )
    # a random direction shows the artefact; only the real labels' own says how predictable they
    # would be if they were linear
    found = found[found.direction != "random"]
    coincide = found.agreement >= no_contrast
    n_with_contrast = int((~coincide).sum())
    if n_with_contrast:
        clear = found[(found.low > 0) & ~coincide]
        which = f": {_some(clear)}" if len(clear) else ""
        sentences.append(
            f"With the real labels {len(clear)} of {n_with_contrast} cells lie above the 95"
            f" % interval of labels that are linear by construction{which}."
        )
    if coincide.any():
        sentences.append(
            f"No contrast in {int(coincide.sum())} cells: the linear model is so good that control"
            " and real labels nearly coincide; control.direction=random still shows what the"
            " removal writes."
        )
    n_single_draws = int((found.draws < 2).sum())
    if n_single_draws:
        sentences.append(
            f"{n_single_draws} cells have one draw only and no interval: sweep control.draw=0,1,2,…"
        )
    return " ".join(sentences)


def _some(cells: pd.DataFrame, limit: int = 6) -> str:
    described = []
    for _, row in cells.head(limit).iterrows():
        described.append(
            f"{row.model} after {row.signal_removal} ({row.dataset}, {row.task}: real"
            f" {row.real:.3f}, linear {row.control:.3f})"
        )
    if len(cells) > limit:
        described.append(f"and {len(cells) - limit} more")
    return "; ".join(described)
