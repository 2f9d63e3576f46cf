import json

import numpy as np
import pytest

from beyondlinear.data.scaled_rows import ScaledRows, blocks, dense
from beyondlinear.data.scaling import fit_preparation
from beyondlinear.experiment import prepare as parts

TINY = [
    *(
        "dataset=simulated_mixed",
        "dataset.n_samples=120",
        "dataset.n_genes=40",
        "split.folds=2",
        "trainer.max_epochs=3",
    ),
    "trainer.threads=1",
]


@pytest.mark.parametrize("scale", ["none", "standardise", "minmax"])
def test_a_view_gives_what_a_copy_gives_to_the_last_bit(scale):
    x = np.random.default_rng(0).standard_normal((50, 300), dtype=np.float32) * 7 + 3
    rows = np.array([4, 3, 49, 20, 21, 22, 0])
    preparation = fit_preparation(x, np.arange(30), top_variance=None, scale=scale)
    view = preparation.scaled_rows(x, rows)
    assert isinstance(view, ScaledRows)
    copy = preparation.apply(x, rows)
    np.testing.assert_array_equal(dense(view), copy)
    np.testing.assert_array_equal(np.concatenate(list(blocks(view, 3))), copy)
    np.testing.assert_array_equal(view.take(np.array([6, 1])), copy[[6, 1]])
    np.testing.assert_array_equal(dense(view[2:4]), copy[2:4])
    assert view.shape == copy.shape
    assert [b.shape for b in blocks(view[:0], 3)] == [(0, 300)]


def test_where_there_can_be_none():
    x = np.zeros((9, 5), dtype=np.float32)
    x[:4] += np.arange(5, dtype=np.float32)
    rows = np.arange(9)
    selecting = fit_preparation(x, rows, top_variance=3, scale="standardise")
    assert selecting.scaled_rows(x, rows) is None
    scaling = fit_preparation(x, rows, top_variance=None, scale="standardise")
    assert scaling.scaled_rows(x, rows) is not None
    for other in (x.astype(np.float64), np.asfortranarray(x)):
        assert scaling.scaled_rows(other, rows) is None
    x.flags.writeable = False
    assert scaling.scaled_rows(x, rows) is None


@pytest.mark.parametrize(
    "model", ["logistic_regression", "linear_svm", "three_layer", "five_layer"]
)
@pytest.mark.parametrize(
    "more", [[], ["scale=none"], ["protocol=paper"]], ids=["sound", "unscaled", "paper"]
)
def test_a_fit_on_views_is_the_fit_on_copies_to_the_last_bit(
    run_here, tmp_path, monkeypatch, model, more
):
    words = [*TINY, f"model={model}", *more]
    copies = run_here(*words, store="copies")
    read = []
    true = parts._scaled_when_read
    monkeypatch.setattr(parts, "SCALED_ROWS_FROM", 0)

    def recorded(*given):
        read.append(true(*given))
        return read[-1]

    monkeypatch.setattr(parts, "_scaled_when_read", recorded)
    views = run_here(*words, store="views")
    assert all(isinstance(part.x, ScaledRows) for made in read for part in made.values())
    assert len(read) == len(copies) > 1
    for a, b in zip(copies, views, strict=True):
        assert a["key"] == b["key"]
        for name in ("training", "metrics", "leak_probes", "optimum", "row_usage", "counts"):
            assert a.get(name) == b.get(name), name
        arrays = [
            np.load(tmp_path / s / a["key"][:2] / f"{a['key']}.npz") for s in ("copies", "views")
        ]
        for name in arrays[0].files:
            np.testing.assert_array_equal(arrays[0][name], arrays[1][name])


def test_tuning_on_views_chooses_the_same(run_here, monkeypatch):
    words = [
        *TINY,
        "model=logistic_regression",
        "tuning=random",
        "tuning.trials=7",
        "tuning.inner_folds=2",
    ]
    copies = run_here(*words, store="copies")
    monkeypatch.setattr(parts, "SCALED_ROWS_FROM", 0)
    views = run_here(*words, store="views")

    def trials(records):
        return json.dumps([[t | {"seconds": 0} for t in r["tuning"]["trials"]] for r in records])

    assert trials(copies) == trials(views)


def test_signal_removal_still_works_on_copies(run_here, monkeypatch):
    monkeypatch.setattr(parts, "SCALED_ROWS_FROM", 0)
    refuse = lambda *_: pytest.fail("removal would change the matrix")  # noqa: E731
    monkeypatch.setattr(parts, "_scaled_when_read", refuse)
    assert (
        run_here(*TINY, "model=logistic_regression", "signal_removal=class_means")[0]["status"]
        == "done"
    )
