import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy.stats import t

from beyondlinear.evaluation.excess import excess, print_excess, reading
from beyondlinear.records.table import COLUMNS
from beyondlinear.runtime.errors import ResultsError


def fits(control: str, accuracies: list[float], draw: int | None = None, **more) -> list[dict]:
    same = {
        "dataset": "d",
        "task": "t",
        "model": "m",
        "signal_removal": "class_means",
        "split": "sample",
    }
    same |= {
        "protocol": "sound",
        "tuning": "none",
        "variant": "",
        "seed": 0,
        "fraction": 1.0,
        "status": "done",
    }
    drawn = (
        {"direction": "fitted", "draw": draw, "bayes_accuracy": 0.8, "agreement": 0.7}
        if draw is not None
        else {}
    )
    return [
        same | {"control": control, "fold": i, "balanced_accuracy": a} | drawn | more
        for i, a in enumerate(accuracies)
    ]


def table(*rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame([r for part in rows for r in part], columns=COLUMNS)


def draws(*values: float, **more) -> list[dict]:
    return [
        r
        for b, v in enumerate(values)
        for r in fits("linear_labels", [v - 0.01, v + 0.01], b, **more)
    ]


def test_excess_and_its_interval_by_hand():
    """Draws .60 .62 .64: mean .62, sd .02; real .75: excess .13 ± t₂(.975)·.02·√(4/3); none of 3
    draws is as large."""
    [row] = excess(table(fits("none", [0.7, 0.8]), draws(0.60, 0.62, 0.64))).to_dict("records")
    half = t.ppf(0.975, 2) * 0.02 * np.sqrt(4 / 3)
    assert half == pytest.approx(0.0994, abs=1e-4)
    assert (row["real"], row["control"], row["draws"]) == pytest.approx((0.75, 0.62, 3))
    assert (row["excess"], row["low"], row["high"]) == pytest.approx(
        (0.13, 0.13 - half, 0.13 + half)
    )
    assert row["p"] == 0.25
    assert row["bayes"] == pytest.approx(0.8)


def test_a_real_result_that_is_one_more_draw_has_no_excess():
    [row] = excess(table(fits("none", [0.62]), draws(0.60, 0.62, 0.64))).to_dict("records")
    assert row["low"] < 0 < row["high"]
    assert row["p"] == 0.75  # .62 and .64 are as large


def test_one_draw_has_no_interval():
    found = excess(table(fits("none", [0.62]), draws(0.60)))
    assert np.isnan(found.low[0])
    assert "1 cells have one draw only and no interval: sweep control.draw=0,1,2,…" in reading(
        found, 0.95
    )


def test_cells_pair_by_all_that_is_not_the_control():
    found = excess(
        table(
            fits("none", [0.7]),
            fits("none", [0.9], signal_removal="leace"),
            draws(0.6, 0.6),
            draws(0.8, 0.8, signal_removal="leace", variant="control.direction=fitted"),
            draws(0.1, 0.1, model="another"),
        )
    )
    assert found.set_index("signal_removal").excess.round(6).to_dict() == {
        "class_means": 0.1,
        "leace": 0.1,
    }


def test_reading_names_what_lies_above_and_where_there_is_no_contrast():
    found = excess(
        table(
            fits("none", [0.9]),
            draws(0.60, 0.61, 0.62),
            fits("none", [0.99], task="easy"),
            draws(0.98, 0.98, 0.98, task="easy", agreement=0.99, bayes_accuracy=0.99),
        )
    )
    text = reading(found, 0.95)
    assert text.startswith("With the real labels 1 of 1 cells lie above")
    assert "m after class_means (d, t: real 0.900, linear 0.610)" in text
    assert "No contrast in 1 cells" in text
    console = Console(width=200, record=True, quiet=True)
    print_excess(found, console)


def test_what_the_removal_wrote_is_named_and_a_random_direction_is_no_excess():
    found = excess(table(fits("none", [0.99]), draws(0.95, 0.96, 0.97, direction="random")))
    text = reading(found, 0.95)
    assert text.startswith(
        "In 1 of 1 cells labels that are linear by construction are predicted above their Bayes"
        " accuracy"
    )
    assert "m after class_means (d, t: real 0.990, linear 0.960)" in text
    assert "lie above the 95 % interval" not in text


def test_nothing_to_compare():
    with pytest.raises(
        ResultsError, match="no cell here has both control=none and control=linear_labels done"
    ):
        excess(table(fits("none", [0.7])))
