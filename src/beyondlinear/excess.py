"""Excess over the control: what a model reaches with the real labels beyond what it reaches with labels that are linear by
construction, in the same folds, after the same removal.

Under the hypothesis that the real labels are linear too, the real result is one more draw of the control's. Its excess over
the draws' mean then lies, with 95 % probability, within t_{B−1} · sd · √(1 + 1/B) of zero (the prediction interval of one more
normal draw); the p-value is the rank of the real result among the draws, (1 + #{draws ≥ real}) / (B + 1).
"""

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy.stats import t

from beyondlinear.errors import ResultsError
from beyondlinear.tables import NAMES

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


def excess(table: pd.DataFrame) -> pd.DataFrame:
    """One row a cell that has both real and control labels.

    Columns: those of WHAT, `direction`; real: mean balanced accuracy with the real labels; draws: B; control, control_sd: mean
    and standard deviation over draws (each the mean of its folds and seeds); bayes: what no model can honestly exceed with the
    control's labels; excess, low, high: with its 95 % interval, NaN below two draws; p; agreement of control and real labels.

    :param table: as `tables.gather` gives it
    :raises ResultsError: no cell has both
    """
    done = table[table.status == "done"].copy()
    done["direction"] = done.direction.fillna("")
    done["variant"] = done.variant.map(
        lambda v: ", ".join(part for part in v.split(", ") if not part.startswith("control."))
    )
    rows = []
    for cell, real in done[done.control == "none"].groupby(WHAT, dropna=False, sort=False):
        same = done[done.control == CONTROL]
        for name, value in zip(WHAT, cell, strict=True):
            same = same[same[name].isna() if pd.isna(value) else same[name] == value]
        for direction, draws in same.groupby("direction", sort=False):
            per_draw = draws.groupby("draw").balanced_accuracy.mean().to_numpy()
            value, b = float(real.balanced_accuracy.mean()), len(per_draw)
            sd = float(per_draw.std(ddof=1)) if b > 1 else np.nan
            half = float(t.ppf(0.975, b - 1)) * sd * np.sqrt(1 + 1 / b) if b > 1 else np.nan
            above = value - float(per_draw.mean())
            rows.append(
                dict(zip(WHAT, cell, strict=True))
                | {"direction": direction, "real": value, "draws": b, "control": float(per_draw.mean())}
                | {"control_sd": sd, "bayes": float(draws.bayes_accuracy.mean()), "excess": above}
                | {"low": above - half, "high": above + half, "p": (1 + (per_draw >= value).sum()) / (b + 1)}
                | {"agreement": float(draws.agreement.mean()), "chance": 1 / float(real.n_classes.max())}
            )
    if not rows:
        raise ResultsError(
            f"no cell here has both control=none and control={CONTROL} done; run both, e.g. python train.py -m "
            "control=none,linear_labels … with the same models, removals and splits"
        )
    return pd.DataFrame(rows).sort_values(["variant", "direction", "signal_removal", "model"], ignore_index=True)


def print_excess(found: pd.DataFrame, console: Console) -> None:
    same = [
        c for c in (*WHAT, "direction") if found[c].nunique(dropna=False) == 1 and c not in ("model", "signal_removal")
    ]
    title = ", ".join(
        f"{c} {found[c].iloc[0]}"
        for c in same
        if c in NAMES and str(found[c].iloc[0]) not in ("none", "", "nan", "None")
    )
    view = Table(title=title, title_justify="left", title_style="", header_style="bold")
    varying = [c for c in (*WHAT, "direction") if c not in same]
    for column in varying:
        view.add_column(column.replace("_", " "))
    for column in ("real labels", "linear labels", "draws", "Bayes", "agreement", "excess", "95 % interval", "p"):
        view.add_column(column, justify="right")
    for _, r in found.iterrows():
        spread = "" if np.isnan(r.control_sd) else f" ± {r.control_sd:.3f}"
        interval = "–" if np.isnan(r.low) else f"{r.low:+.3f} … {r.high:+.3f}"
        view.add_row(
            *(str(r[c]) for c in varying),
            *(f"{r.real:.3f}", f"{r.control:.3f}{spread}", f"{r.draws:.0f}", f"{r.bayes:.3f}", f"{r.agreement:.3f}"),
            *(f"{r.excess:+.3f}", interval, f"{r.p:.3f}"),
        )
    console.print(view)


def reading(found: pd.DataFrame, no_contrast: float) -> str:
    """What the table lets one say, of the cells after removal where there are any."""
    removed = found[found.signal_removal != "none"]
    found = removed if len(removed) else found
    written = found[found.control - 2 * found.control_sd.fillna(0.0) / np.sqrt(found.draws) > found.bayes]
    text = ""
    if len(written):
        text = (
            f"In {len(written)} of {len(found)} cells labels that are linear by construction are predicted above their Bayes "
            f"accuracy, which the removal must have written into the data: {_some(written)}. "
        )
    # a random direction shows the artefact; only the real labels' own says how predictable they would be if they were linear
    found = found[found.direction != "random"]
    coincide = found.agreement >= no_contrast
    clear = found[(found.low > 0) & ~coincide]
    if (~coincide).any():
        text += (
            f"With the real labels {len(clear)} of {int((~coincide).sum())} cells lie above the 95 % interval of labels that "
            "are linear by construction"
        )
        text += (f": {_some(clear)}" if len(clear) else "") + "."
    if coincide.any():
        text += (
            f" No contrast in {int(coincide.sum())} cells: the linear model is so good that control and real labels nearly "
            "coincide; control.direction=random still shows what the removal writes."
        )
    few = int((found.draws < 2).sum())
    if few:
        text += f" {few} cells have one draw only and no interval: sweep control.draw=0,1,2,…"
    return text.strip()


def _some(cells: pd.DataFrame, limit: int = 6) -> str:
    said = [
        f"{r.model} after {r.signal_removal} ({r.dataset}, {r.task}: real {r.real:.3f}, linear {r.control:.3f})"
        for _, r in cells.iterrows()
    ]
    return "; ".join(said[:limit]) + (f"; and {len(said) - limit} more" if len(said) > limit else "")
