"""Nothing is hidden: damaged, missing, unbegun and mixed records are named, and what can be said is said."""

import json

import numpy as np
import pandas as pd
import pytest

from beyondlinear.errors import ResultsError
from beyondlinear.report.gaps import find_gaps
from beyondlinear.report.reading import read
from beyondlinear.report.summaries import cells, comparisons, excesses, residual_tests
from beyondlinear.report.verdict import verdicts
from beyondlinear.sweeps.state import plan, run_id


def tables_of(reading):
    tables = {"cells": cells(reading)[0], "comparisons": comparisons(reading), "excess": excesses(reading)}
    return tables | {"tests": residual_tests(reading)}


def judged(reading):
    return verdicts(reading, tables_of(reading))


def texts(reading) -> str:
    return "\n".join(f"{p.kind}: {p.text}" for p in find_gaps(reading))


def test_nothing_to_report(tmp_path):
    with pytest.raises(ResultsError, match="nothing to report"):
        read([tmp_path])
    with pytest.raises(ResultsError, match="is not a directory"):
        read([tmp_path / "absent"])


def test_a_corrupt_record_costs_its_fit_alone(make_sweep, tmp_path):
    make_sweep(tmp_path)
    first, second = sorted((tmp_path / "records").glob("??/*.json"))[:2]
    first.write_text("{")
    record = json.loads(second.read_text())
    record["metrics"] = "high"
    second.write_text(json.dumps(record))
    reading = read([tmp_path])
    assert len(reading.done) == 2 * 2 * 5 * 2 - 2
    said = texts(reading)
    assert str(first) in said
    assert "is damaged" in said
    assert judged(reading)[0].limits.text.count("samples")


def test_a_lost_record_is_missing_and_a_whole_cell_is_a_gap(make_sweep, tmp_path):
    make_sweep(tmp_path)
    next((tmp_path / "records").glob("??/*.json")).unlink()
    next(p for p in tmp_path.glob("fits_*") if "three_layer_split" in p.name).unlink()
    said = texts(read([tmp_path]))
    assert "three_layer, removal split, control none: no fit at all" in said
    assert "missing: " in said


def test_a_sweep_that_was_cut_off(make_sweep, tmp_path):
    make_sweep(tmp_path)
    plan(tmp_path, [["seed=0"], ["seed=1"], ["seed=2"]], ["train.py"])
    (tmp_path / "multirun.yaml").write_text("hydra: {overrides: {task: ['seed=0,1,2'], hydra: [hydra.sweep.dir=x]}}")
    for number in (0, 2):
        run = tmp_path / f"data_model_none_seed{number}_{run_id([f'seed={number}'])}"
        run.mkdir()
        next(tmp_path.glob("fits_*.json")).rename(run / f"fits_{number}.json")
    reading = read([tmp_path])
    assert "has 3 runs, of which 1 were never begun, e.g. seed=1" in texts(reading)
    assert reading.commands == ["python train.py -m seed=0,1,2 hydra.sweep.dir=x"]


def test_one_fold_one_seed_no_control(make_sweep, tmp_path):
    reading = read([make_sweep(tmp_path, folds=1)])
    said = texts(reading)
    assert "one fold" in said
    assert "one seed" in said
    assert "signal removal without control=linear_labels" in said
    (verdict,) = judged(reading)
    assert verdict.warranted.answer == "open"
    assert verdict.beyond.answer == "not asked"
    assert "that a model predicts after removal does not show it" in verdict.beyond.text


def test_mixed_data_sets_stay_apart(make_sweep, tmp_path):
    reading = read([make_sweep(tmp_path, datasets=("first", "second"))])
    assert [v.panel for v in judged(reading)] == ["first", "second"]


def test_tasks_of_one_data_set_stay_apart(make_sweep, tmp_path):
    """A user's data go by the name of the file; labels are told apart, and no fit counts for both."""
    make_sweep(tmp_path / "a", datasets=("file",), task="cohort", classes=("BRCA", "LUAD", "KIRC"))
    make_sweep(tmp_path / "b", datasets=("file",), task="sample_type", accuracy=0.9, classes=("normal", "tumor"))
    reading = read([tmp_path])
    assert [v.panel for v in judged(reading)] == ["mine, cohort", "mine, sample_type"]
    found = cells(reading)[0]
    assert found.groupby("panel").naive.unique().map(list).to_dict() == {
        "mine, cohort": [1 / 3],
        "mine, sample_type": [0.5],
    }
    assert (found.done == 5).all()


def test_a_perfect_linear_model_leaves_nothing_to_ask(make_sweep, tmp_path):
    """At a balanced accuracy of .99 and above no model can be better by more than the region of practical equivalence."""
    options = {"n_samples": 600, "fractions": (1.0,)}
    (verdict,) = judged(read([make_sweep(tmp_path / "a", accuracy=0.998, **options)]))
    assert verdict.beyond.answer == "redundant"
    assert "so that none can be better by more than 0.01" in verdict.beyond.text
    assert len(verdict.beyond.rows) == 1
    (verdict,) = judged(read([make_sweep(tmp_path / "b", accuracy=0.97, **options)]))
    assert verdict.beyond.answer == "not asked"


def test_a_better_model_is_warranted_and_an_equal_one_is_not(make_sweep, tmp_path):
    better = read([make_sweep(tmp_path / "a", gain=0.15, n_samples=2000, fractions=(1.0,))])
    (verdict,) = judged(better)
    assert verdict.warranted.answer == "yes"
    row = comparisons(better).iloc[0]
    assert row.low < 0.15 < row.high
    assert verdict.warranted.rows == (row.id,)
    equal = read([make_sweep(tmp_path / "b", n_samples=2000, seeds=2, fractions=(1.0,))])
    assert judged(equal)[0].warranted.answer in ("no", "open")


def test_predicting_after_removal_is_no_finding_unless_above_the_control(make_sweep, tmp_path):
    """three_layer predicts at .8 after removal, real labels and linear ones alike; then real ones at .95."""
    same = read([make_sweep(tmp_path / "a", controls=5, n_samples=600, fractions=(1.0,))])
    assert judged(same)[0].beyond.answer == "none found"
    above = read([make_sweep(tmp_path / "b", controls=5, n_samples=600, gain=0.15, fractions=(1.0,))])
    assert judged(above)[0].beyond.answer == "yes"


@pytest.mark.parametrize(
    ("ways", "answer"),
    [
        ([0.68], "none found"),
        ([0.043], "yes"),
        ([0.68, 0.043], "open"),  # two looks at .05 each would be wrong once in ten times
        ([0.68, 0.024], "yes"),
        ([0.04, 0.049], "yes"),
        ([1 / 40, 0.9], "yes"),  # as little as 39 draws can give
    ],
)
def test_two_ways_to_look_share_one_level(make_sweep, tmp_path, ways, answer):
    reading = read([make_sweep(tmp_path, controls=5, n_samples=600, fractions=(1.0,))])
    tables = tables_of(reading)
    of_test, *of_excess = ways
    one = {
        "id": "t1",
        "panel": tables["cells"].panel.iloc[0],
        "control": "none",
        "statistic": "best",
        "verdict": "none found",
    }
    tables["tests"] = pd.DataFrame([one | {"p_value": of_test, "draws": 199}])
    tables["excess"]["p_holm"] = of_excess[0] if of_excess else np.nan
    (verdict,) = verdicts(reading, tables)
    assert verdict.beyond.answer == answer
    assert ("the two disagree" in verdict.beyond.text) == (len({p < 0.05 for p in ways}) == 2)
    if answer == "open":
        assert "whether there is signal that the linear model cannot use stays open" in verdict.beyond.text
        assert "p = 0.086 for both" in verdict.beyond.text


def test_intervals_are_over_groups(make_sweep, tmp_path):
    found, _ = cells(read([make_sweep(tmp_path, fractions=(1.0,))]))
    row = found[(found.learner == "ridge_logistic") & (found.signal_removal == "none")].iloc[0]
    assert row.n_groups == 100
    assert row.low < row.balanced_accuracy < row.high
