import json

import numpy as np
import pytest

from beyondlinear import parts
from beyondlinear.scaling import fit_preparation
from beyondlinear.view import View, blocks, dense

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
    view = preparation.view(x, rows)
    assert isinstance(view, View)
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
    assert selecting.view(x, rows) is None
    scaling = fit_preparation(x, rows, top_variance=None, scale="standardise")
    assert scaling.view(x, rows) is not None
    for other in (x.astype(np.float64), np.asfortranarray(x)):
        assert scaling.view(other, rows) is None
    x.flags.writeable = False
    assert scaling.view(x, rows) is None


@pytest.mark.parametrize("model", ["logistic_regression", "linear_svm", "three_layer", "five_layer"])
@pytest.mark.parametrize("more", [[], ["scale=none"], ["protocol=paper"]], ids=["sound", "unscaled", "paper"])
def test_a_fit_on_views_is_the_fit_on_copies_to_the_last_bit(run_here, tmp_path, monkeypatch, model, more):
    words = [*TINY, f"model={model}", *more]
    copies = run_here(*words, store="copies")
    read = []
    true = parts._views
    monkeypatch.setattr(parts, "VIEWS_FROM", 0)
    monkeypatch.setattr(parts, "_views", lambda *given: read.append(true(*given)) or read[-1])
    views = run_here(*words, store="views")
    assert all(isinstance(part.x, View) for made in read for part in made.values())
    assert len(read) == len(copies) > 1
    for a, b in zip(copies, views, strict=True):
        assert a["key"] == b["key"]
        for name in ("training", "metrics", "meters", "optimum", "ledger", "counts"):
            assert a.get(name) == b.get(name), name
        arrays = [np.load(tmp_path / s / a["key"][:2] / f"{a['key']}.npz") for s in ("copies", "views")]
        for name in arrays[0].files:
            np.testing.assert_array_equal(arrays[0][name], arrays[1][name])


def test_tuning_on_views_chooses_the_same(run_here, monkeypatch):
    words = [*TINY, "model=logistic_regression", "tuning=random", "tuning.trials=7", "tuning.inner_folds=2"]
    copies = run_here(*words, store="copies")
    monkeypatch.setattr(parts, "VIEWS_FROM", 0)
    views = run_here(*words, store="views")

    def trials(records):
        return json.dumps([[t | {"seconds": 0} for t in r["tuning"]["trials"]] for r in records])

    assert trials(copies) == trials(views)


def test_signal_removal_still_works_on_copies(run_here, monkeypatch):
    monkeypatch.setattr(parts, "VIEWS_FROM", 0)
    monkeypatch.setattr(parts, "_views", lambda *_: pytest.fail("removal would change the matrix"))
    assert run_here(*TINY, "model=logistic_regression", "signal_removal=split")[0]["status"] == "done"
