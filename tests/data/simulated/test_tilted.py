"""The simulations that are linear by construction have the laws and the Bayes rules that their
docstrings claim."""

from collections.abc import Callable
from typing import Any

import anndata as ad
import numpy as np
import pytest
from scipy import stats
from scipy.special import expit
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from beyondlinear.data.simulated.tilted import (
    simulated_bernoulli,
    simulated_clusters,
    simulated_counts,
    simulated_zero_inflated,
    tilt_bernoulli,
    tilt_poisson,
    tilt_zero_inflated_gamma,
)
from beyondlinear.runtime.errors import DataError

Simulate = Callable[..., ad.AnnData]
TILTED: list[Simulate] = [simulated_bernoulli, simulated_zero_inflated, simulated_counts]
every_tilted = pytest.mark.parametrize("simulate", TILTED, ids=lambda f: f.__name__)


def class_1(dataset: ad.AnnData) -> np.ndarray:
    return (dataset.obs["label"] == "class_1").to_numpy()


def bayes_logit(dataset: ad.AnnData) -> np.ndarray:
    return dataset.X @ dataset.uns["theta"] + dataset.uns["intercept"]


def without_class_means(x: np.ndarray, is_class_1: np.ndarray) -> np.ndarray:
    """Split removal, written out: subtract class mean minus the unweighted mean of the two class
    means."""
    half_gap = (
        x[is_class_1].mean(0, dtype=np.float64) - x[~is_class_1].mean(0, dtype=np.float64)
    ) / 2
    return x - np.where(is_class_1[:, None], half_gap, -half_gap)


def after_split_removal(dataset: ad.AnnData, model: Any) -> float:
    """Validation balanced accuracy; both parts lose their own class means. Rows are in random order
    already."""
    n_outer_train = int(0.8 * dataset.n_obs)
    is_class_1 = class_1(dataset)
    x = [
        without_class_means(dataset.X[part], is_class_1[part])
        for part in (slice(n_outer_train), slice(n_outer_train, None))
    ]
    model.fit(x[0], is_class_1[:n_outer_train])
    return float(balanced_accuracy_score(is_class_1[n_outer_train:], model.predict(x[1])))


# theta of both signs and zero, over the values that each law can take
THETA = np.array([-1.2, -0.3, 0.0, 0.4, 0.8])


def test_tilted_bernoulli_is_linear() -> None:
    detected = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    tilted_detected, log_normaliser = tilt_bernoulli(detected, THETA)
    for x in (0, 1):
        ratio = stats.bernoulli.logpmf(x, tilted_detected) - stats.bernoulli.logpmf(x, detected)
        np.testing.assert_allclose(ratio, THETA * x - log_normaliser, atol=1e-12)


def test_tilted_zero_inflated_gamma_is_linear_zeros_included() -> None:
    zero_share, shape, rate = np.array([0.2, 0.4, 0.5, 0.6, 0.8]), 2.0, 1.0
    zero_share_1, rate_1, log_normaliser = tilt_zero_inflated_gamma(zero_share, shape, rate, THETA)
    np.testing.assert_allclose(np.log(zero_share_1 / zero_share), -log_normaliser, atol=1e-12)
    for x in (0.01, 1.0, 5.0, 30.0):
        log_p0 = np.log(1 - zero_share) + stats.gamma.logpdf(x, shape, scale=1 / rate)
        log_p1 = np.log(1 - zero_share_1) + stats.gamma.logpdf(x, shape, scale=1 / rate_1)
        np.testing.assert_allclose(log_p1 - log_p0, THETA * x - log_normaliser, atol=1e-10)


def test_tilted_poisson_is_linear() -> None:
    rate = np.array([0.1, 0.5, 1.0, 5.0, 20.0])
    rate_1, log_normaliser = tilt_poisson(rate, THETA)
    for x in (0, 1, 7, 40):
        ratio = stats.poisson.logpmf(x, rate_1) - stats.poisson.logpmf(x, rate)
        np.testing.assert_allclose(ratio, THETA * x - log_normaliser, atol=1e-10)


def test_tilted_values_follow_their_laws() -> None:
    """Observed class means and shares of zeros against the laws in `var`, within 5 standard errors
    (n = 10,000)."""
    for simulate, columns in (
        (simulated_bernoulli, ("detected_0", "detected_1")),
        (simulated_counts, ("rate_0", "rate_1")),
    ):
        dataset = simulate(20_000, 10, seed=1)
        for rows, column in zip((~class_1(dataset), class_1(dataset)), columns, strict=True):
            mean = dataset.var[column].to_numpy()
            variance = mean * (1 - mean) if simulate is simulated_bernoulli else mean
            assert (
                np.abs(dataset.X[rows].mean(axis=0) - mean) < 5 * np.sqrt(variance / 10_000)
            ).all()
        assert np.array_equal(dataset.X, np.round(dataset.X))
    dataset = simulated_zero_inflated(20_000, 10, seed=1)
    for rows, share, rate in (
        (~class_1(dataset), dataset.var["zero_share_0"], np.ones(10)),
        (class_1(dataset), dataset.var["zero_share_1"], dataset.var["rate_1"]),
    ):
        x = dataset.X[rows]
        assert (np.abs((x == 0).mean(axis=0) - share) < 0.025).all()  # 5 × 0.5 / √10,000
        positive_mean = x.sum(axis=0) / (x > 0).sum(axis=0)
        np.testing.assert_allclose(
            positive_mean, 2 / rate, rtol=0.07
        )  # Gamma(2): sd/mean 0.71, ≥ 2,000 values


@every_tilted
def test_tilted_bayes_rule_reaches_its_accuracy(simulate: Simulate) -> None:
    dataset = simulate(40_000, seed=2)
    assert 0.75 < dataset.uns["bayes_accuracy"] < 0.85
    reached = balanced_accuracy_score(class_1(dataset), bayes_logit(dataset) > 0)
    assert reached == pytest.approx(dataset.uns["bayes_accuracy"], abs=0.01)
    # calibrated, not only well placed: among samples given 0.7 to 0.8, that share is class_1
    sure = np.abs(expit(bayes_logit(dataset)) - 0.75) < 0.05
    assert class_1(dataset)[sure].mean() == pytest.approx(
        expit(bayes_logit(dataset))[sure].mean(), abs=0.03
    )


def test_one_bernoulli_gene_by_hand() -> None:
    """One gene: always guessing by its value has balanced accuracy (1 + |q₁ − q₀|)/2."""
    dataset = simulated_bernoulli(10, 1, signal=1.0, seed=0)
    q0, q1 = dataset.var[["detected_0", "detected_1"]].to_numpy()[0]
    assert dataset.uns["bayes_accuracy"] == pytest.approx((1 + abs(q1 - q0)) / 2, abs=0.002)


@every_tilted
def test_signal_is_the_sd_of_the_logit(simulate: Simulate) -> None:
    dataset = simulate(20_000, 40, signal=1.3, seed=0)
    assert bayes_logit(dataset)[~class_1(dataset)].std() == pytest.approx(1.3, rel=0.05)


def test_a_tilt_that_no_gamma_law_can_take_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"can only be tilted by less than 1; lower dataset\.signal"
    ):
        simulated_zero_inflated(10, 30, signal=10.0)


def test_a_class_of_fewer_than_two_samples_is_refused() -> None:
    with pytest.raises(DataError, match="each class needs two"):
        simulated_clusters(3, n_genes=2)


@pytest.mark.parametrize("n_clusters", [1, 8])
def test_clusters_bayes_rule_reaches_its_accuracy(n_clusters: int) -> None:
    dataset = simulated_clusters(40_000, n_clusters=n_clusters, seed=2)
    assert 0.8 < dataset.uns["bayes_accuracy"] < 0.9
    reached = balanced_accuracy_score(class_1(dataset), bayes_logit(dataset) > 0)
    assert reached == pytest.approx(dataset.uns["bayes_accuracy"], abs=0.01)
    assert class_1(dataset).mean() == pytest.approx(0.5, abs=0.02)
    assert bayes_logit(dataset).std() == pytest.approx(3.0, rel=0.03)


def test_clusters_have_unit_variance_within_and_their_sd_between() -> None:
    dataset = simulated_clusters(4000, n_genes=200, n_clusters=8, cluster_sd=3.0, seed=0)
    assert dataset.obs["cluster"].value_counts().to_dict() == {
        f"cluster_{i}": 500 for i in range(8)
    }
    members = [dataset.X[dataset.obs["cluster"] == f"cluster_{i}"] for i in range(8)]
    assert np.mean([m.var(axis=0).mean() for m in members]) == pytest.approx(1.0, abs=0.02)
    assert np.std([m.mean(axis=0) for m in members]) == pytest.approx(3.0, abs=0.25)  # 1,600 means
    assert np.all(
        simulated_clusters(50, n_clusters=1, cluster_sd=0.0).obs["cluster"] == "cluster_0"
    )


@pytest.mark.parametrize("simulate", [*TILTED, simulated_clusters], ids=lambda f: f.__name__)
def test_a_linear_model_comes_near_bayes(simulate: Simulate) -> None:
    dataset = simulate(seed=0)
    assert dataset.uns["bayes_rule"] == "linear"
    train, test = slice(0, None, 2), slice(1, None, 2)
    model = LogisticRegression(C=0.1, max_iter=1000).fit(dataset.X[train], class_1(dataset)[train])
    reached = balanced_accuracy_score(class_1(dataset)[test], model.predict(dataset.X[test]))
    assert reached == pytest.approx(
        dataset.uns["bayes_accuracy"], abs=0.04
    )  # 1,000 samples: standard error 0.012


def test_split_removal_writes_the_label_into_data_that_are_linear_by_construction() -> None:
    """The artefact that these data sets exist for; Bayes accuracy is 0.81 and 0.83, one Gaussian
    cluster is clean."""
    forest = RandomForestClassifier(100, random_state=0)
    assert after_split_removal(simulated_bernoulli(seed=0), forest) > 0.95
    assert after_split_removal(simulated_clusters(seed=0), forest) > 0.95
    one_cluster = simulated_clusters(n_clusters=1, seed=0)
    assert (
        0.42 < after_split_removal(one_cluster, forest) < 0.58
    )  # 400 test samples: 3 standard errors
    assert 0.42 < after_split_removal(simulated_bernoulli(seed=0), LogisticRegression(C=0.1)) < 0.58
