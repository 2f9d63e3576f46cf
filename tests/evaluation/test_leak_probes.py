import numpy as np
import pytest

from beyondlinear.evaluation.leak_probes import forest_accuracy, norm_auc
from beyondlinear.models.interface import Part


def part(x, codes) -> Part:
    return Part(np.asarray(x, dtype=np.float32), np.asarray(codes), np.arange(len(codes)))


def test_length_of_a_sample_by_hand():
    fit = part([[-1], [1], [-3], [3]], [0, 0, 1, 1])  # mean 0; class 1 is longer
    assert norm_auc(fit, part([[1], [2], [-1.5], [4]], [0, 0, 1, 1]), 2) == 0.75
    # the train part says which way it points: a test part that points the other way is below chance
    assert norm_auc(fit, part([[1], [4], [-1.5], [2]], [1, 0, 1, 0]), 2) == 0.0


def test_each_class_against_the_rest_and_absent_classes_left_out():
    fit = part([[-1], [1], [-3], [3], [-9], [9]], [0, 0, 1, 1, 2, 2])
    assert norm_auc(fit, fit, 3) == pytest.approx((1.0 + 0.5 + 1.0) / 3)
    assert norm_auc(fit, part([[1], [9]], [0, 2]), 3) == 1.0
    assert np.isnan(norm_auc(fit, part([[1]], [0]), 3))


def test_unequal_variances_show_in_the_length():
    random = np.random.default_rng(0)
    codes = np.arange(400) % 2
    x = random.normal(size=(400, 50)) * np.where(codes, 1.3, 1.0)[:, None]
    assert norm_auc(part(x[:200], codes[:200]), part(x[200:], codes[200:]), 2) > 0.95


def test_forest_reads_what_a_line_cannot():
    random = np.random.default_rng(0)
    x = random.normal(size=(600, 4))
    codes = (np.abs(x[:, 0]) > 0.67).astype(int)
    fit, test = part(x[:400], codes[:400]), part(x[400:], codes[400:])
    assert forest_accuracy(fit, test, 2, 50, 0, 1) > 0.9
    shuffled = part(x[:400], random.permutation(codes[:400]))
    assert abs(forest_accuracy(shuffled, test, 2, 50, 0, 1) - 0.5) < 0.12


SMALL = [
    "dataset=simulated_bernoulli",
    "dataset.n_samples=300",
    "split.folds=2",
    "trainer.threads=1",
]


def test_meters_stand_in_the_record_and_the_forest_is_grown_once_for_all_models(
    run_here, monkeypatch
):
    [record, *_] = run_here(*SMALL, "model=ridge_logistic", "signal_removal=class_means")
    assert record["leak_probes"]["forest"] > 0.8  # grids
    monkeypatch.setattr(
        "beyondlinear.evaluation.leak_probes.forest_accuracy", lambda *_: pytest.fail("grown again")
    )
    [other, *_] = run_here(*SMALL, "model=ridge_svm", "signal_removal=class_means")
    assert other["leak_probes"] == record["leak_probes"]


def test_without_removal_or_trees_there_is_no_forest(run_here):
    for more in (["signal_removal=none"], ["signal_removal=class_means", "leak_probes.trees=0"]):
        [record, *_] = run_here(*SMALL, "model=ridge_logistic", *more)
        assert set(record["leak_probes"]) == {"norm_auc"}
