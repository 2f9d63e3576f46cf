"""Whether a non-linear model is warranted, and how far the evidence goes."""

from made_up_reports import judged, renamed

from beyondlinear.report.comparisons import comparisons
from beyondlinear.report.reading import read


def test_a_better_model_is_warranted_and_an_equal_one_is_not(make_sweep, tmp_path):
    better = read([make_sweep(tmp_path / "a", gain=0.15, n_samples=2000, fractions=(1.0,))])
    (verdict,) = judged(better)
    assert verdict.warranted.answer == "yes"
    row = comparisons(better).iloc[0]
    assert row.low < 0.15 < row.high
    assert verdict.warranted.rows == (row.id,)
    equal = read([make_sweep(tmp_path / "b", n_samples=2000, seeds=2, fractions=(1.0,))])
    assert judged(equal)[0].warranted.answer in ("no", "open")


def test_a_linear_model_under_another_name_is_no_non_linear_model(make_sweep, tmp_path):
    """A copy of logistic_regression.yaml that is better than ridge warrants nothing."""
    models = ("ridge_logistic", "logistic_regression")
    options = {"models": models, "gain": 0.15, "n_samples": 600, "fractions": (1.0,)}
    sweep = make_sweep(tmp_path, removals=("none",), **options)
    renamed(sweep, "logistic_regression", "mine")
    (verdict,) = judged(read([sweep]))
    assert verdict.warranted.answer == "not asked"
    assert "there is no other model beside a certified linear one" in verdict.warranted.text
    assert "could not have been told" not in verdict.limits.text  # of non-linear models alone


def test_limits_count_what_the_verdict_rests_on(make_sweep, tmp_path):
    (verdict,) = judged(read([make_sweep(tmp_path, seeds=2, fractions=(1.0,))]))
    assert "this rests on 200 samples in 100 groups, 5 folds and 2 seeds" in verdict.limits.text
    assert verdict.limits.answer == "open"
