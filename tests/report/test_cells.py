"""One row a cell, with an interval over groups."""

import numpy as np
import pytest

from beyondlinear.report.cells import cells
from beyondlinear.report.reading import read


def test_intervals_are_over_groups(make_sweep, tmp_path):
    found, _ = cells(read([make_sweep(tmp_path, fractions=(1.0,))]))
    row = found[(found.learner == "ridge_logistic") & (found.signal_removal == "none")].iloc[0]
    assert row.n_groups == 100
    assert row.low < row.balanced_accuracy < row.high


def test_a_cell_is_the_mean_of_its_fits(make_sweep, tmp_path):
    gathered = read([make_sweep(tmp_path, fractions=(0.5, 1.0))])
    table, curves = cells(gathered)
    assert len(table) == 2 * 2 * 2  # models, removals, fractions
    row = table[(table.learner == "three_layer") & (table.signal_removal == "none")].iloc[-1]
    mine = gathered.done[
        (gathered.done.learner == "three_layer")
        & (gathered.done.signal_removal == "none")
        & (gathered.done.fraction == 1.0)
    ]
    assert (row.fits, row.done, row.folds, row.seeds) == (5, 5, 5, 1)
    assert row.balanced_accuracy == pytest.approx(mine.balanced_accuracy.mean())
    assert row.naive == 0.5
    assert not row.linear
    assert row.id in curves
    # intervals at the largest fraction alone
    assert np.isnan(table[table.fraction == 0.5].low).all()


def test_without_a_manifest_there_is_no_interval_and_that_is_said(make_sweep, tmp_path):
    make_sweep(tmp_path, fractions=(1.0,))
    for path in (tmp_path / "records" / "samples").glob("*"):
        path.unlink()
    gathered = read([tmp_path])
    table, _ = cells(gathered)
    assert table.low.isna().all()
    assert "no manifest of samples says which group a sample is of" in gathered.problems[-1].text
