"""What the method must show, on small data: a tenth of the paper's genes, every bound as it holds
at the paper's size.

test_paper_size.py has the same claims on the paper's own sizes.
"""

import numpy as np
import pytest
from made_up import mean_accuracy
from scipy.stats import norm

from beyondlinear.removal.class_means import remove_class_means
from beyondlinear.runtime.config import build
from beyondlinear.runtime.seeds import stream

TWIN = ["dataset.n_samples=600", "dataset.n_genes=500", "logger=none"]
LINEAR = ["logistic_regression", "linear_svm"]
NETS = ["three_layer", "five_layer"]


@pytest.mark.parametrize("model", LINEAR + NETS)
@pytest.mark.parametrize("dataset", ["simulated_mixed", "simulated_linear"])
def test_signal_present_is_learnt_by_every_model(run_here, dataset, model):
    assert mean_accuracy(run_here(f"dataset={dataset}", f"model={model}", *TWIN)) >= 0.99


@pytest.mark.parametrize("model", LINEAR)
def test_mixed_signal_after_removal_is_lost_to_linear_models(run_here, model):
    records = run_here(
        "dataset=simulated_mixed", "signal_removal=class_means", f"model={model}", *TWIN
    )
    assert 0.44 <= mean_accuracy(records) <= 0.56


@pytest.mark.parametrize("model", NETS)
def test_mixed_signal_after_removal_is_kept_by_nets(run_here, model):
    records = run_here(
        "dataset=simulated_mixed", "signal_removal=class_means", f"model={model}", *TWIN
    )
    assert mean_accuracy(records) >= 0.95


@pytest.mark.parametrize("model", LINEAR + NETS)
def test_linear_signal_after_removal_is_lost_to_every_model(run_here, model):
    records = run_here(
        "dataset=simulated_linear", "signal_removal=class_means", f"model={model}", *TWIN
    )
    assert 0.44 <= mean_accuracy(records) <= 0.56


@pytest.mark.parametrize("model", LINEAR + NETS)
@pytest.mark.parametrize("removal", ["none", "class_means"])
def test_noise_predicts_nothing(run_here, model, removal):
    records = run_here(
        "dataset=simulated_noise", f"signal_removal={removal}", f"model={model}", *TWIN
    )
    assert 0.42 <= mean_accuracy(records) <= 0.58


def test_removal_before_the_split_makes_noise_anti_predictive(run_here):
    records = run_here(
        "dataset=simulated_noise",
        "signal_removal=class_means_before_split",
        "model=logistic_regression",
        "logger=none",
    )
    assert mean_accuracy(records) < 0.35


def centroid_accuracy(
    x: np.ndarray, codes: np.ndarray, train: np.ndarray, test: np.ndarray
) -> float:
    first, second = (x[train][codes[train] == c].mean(0) for c in (0, 1))
    predicted = ((x[test] - (first + second) / 2) @ (second - first) > 0).astype(int)
    return float(np.mean([(predicted == c)[codes[test] == c].mean() for c in (0, 1)]))


@pytest.mark.parametrize(
    ("p", "n_folds", "literal"), [(50, 5, 0.33), (250, 5, 0.16), (50, 10, None), (250, 10, None)]
)
def test_removal_before_the_split_meets_its_formula_for_a_centroid_classifier(p, n_folds, literal):
    """Test class gap = −(n_train/n_test) × train class gap; a centroid classifier then scores
    Φ(−(n_train/n_test)·|δ|/(2σ)) with |δ|² = pσ²·Σ_c(1/n_train,c − 1/N_c)."""
    n, scores = 1000, []
    for seed in range(10):
        rng = stream(seed, "formula", p)
        x, codes = rng.normal(size=(n, p)), np.repeat([0, 1], n // 2)
        fold = np.tile(np.arange(n_folds), n // n_folds)
        x = remove_class_means(x, codes, 2)
        for f in range(n_folds):
            train, test = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
            scores.append(centroid_accuracy(x, codes, train, test))
    per_class = n / 2
    train_per_class = per_class * (1 - 1 / n_folds)
    gap = np.sqrt(p * 2 * (1 / train_per_class - 1 / per_class))
    expected = norm.cdf(-(n_folds - 1) * gap / 2)
    assert np.mean(scores) == pytest.approx(expected, abs=0.03)
    if literal is not None:
        assert expected == pytest.approx(literal, abs=0.01)


@pytest.mark.slow
def test_discrete_features_the_removal_writes_the_labels_onto_grids(run_here):
    """Bernoulli features have a linear Bayes rule; after removal of class means a forest reads the
    class off the grid."""
    data = ["dataset=simulated_bernoulli", "logger=none"]
    present = run_here(*data, "model=logistic_regression")
    bayes = present[0]["data"]["bayes_accuracy"]
    assert abs(mean_accuracy(present) - bayes) <= 0.03
    forest = run_here(*data, "model=random_forest", "signal_removal=class_means")
    assert mean_accuracy(forest) > 0.9
    linear = run_here(*data, "model=logistic_regression", "signal_removal=class_means")
    assert 0.44 <= mean_accuracy(linear) <= 0.56


@pytest.mark.slow
def test_clusters_the_removal_writes_the_labels_into_the_shift_of_each_cluster(run_here):
    """Labels that are linear by construction: with eight clusters a forest exceeds the Bayes
    accuracy after removal."""
    removed = ["model=random_forest", "signal_removal=class_means", "logger=none"]
    eight = run_here("dataset=simulated_clusters", *removed)
    assert mean_accuracy(eight) > eight[0]["data"]["bayes_accuracy"] + 0.05
    one = run_here("dataset=simulated_clusters", "dataset.n_clusters=1", *removed)
    assert 0.44 <= mean_accuracy(one) <= 0.56


@pytest.mark.parametrize("model", LINEAR)
def test_a_small_panel_is_not_left_under_trained(run_here, model):
    """30 genes, 240 training samples: 4 batches an epoch. A learning rate that suits 5,000 genes
    barely moves here."""
    records = run_here(
        "dataset=simulated_bernoulli", "dataset.n_samples=300", f"model={model}", "logger=none"
    )
    assert mean_accuracy(records) > 0.72


def test_seed_0_and_1_are_different_data(compose_config):
    a, b = (
        build(compose_config("dataset=simulated_mixed", *TWIN, f"seed={s}").dataset) for s in (0, 1)
    )
    assert not np.array_equal(a.X, b.X)
