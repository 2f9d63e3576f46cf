"""The paper's simulations have the laws and the Bayes rules that their docstrings claim."""

import anndata as ad
import numpy as np
import pytest

from beyondlinear.data.simulated.gaussian import simulated_linear, simulated_mixed, simulated_noise
from beyondlinear.runtime.errors import DataError


def class_1(dataset: ad.AnnData) -> np.ndarray:
    return (dataset.obs["label"] == "class_1").to_numpy()


def test_mixed_has_the_papers_genes() -> None:
    dataset = simulated_mixed(seed=0)
    assert dataset.shape == (1000, 5000)
    assert dataset.obs["label"].value_counts().to_dict() == {"class_0": 500, "class_1": 500}
    assert list(dataset.var_names[2499:2501]) == ["linear_2499", "nonlinear_0000"]
    is_class_1 = class_1(dataset)
    class_0_values = dataset.X[~is_class_1]
    assert abs(class_0_values.mean()) < 0.01  # 2.5 million standard normal values
    assert abs(class_0_values.var() - 1) < 0.01
    linear, nonlinear = dataset.X[is_class_1, :2500], dataset.X[is_class_1, 2500:]
    assert abs(linear.mean() - 6) < 0.05
    assert abs(linear.var() - 1) < 0.05
    assert abs(nonlinear.mean()) < 0.05
    assert abs(np.abs(nonlinear).mean() - 6) < 0.05
    assert abs(nonlinear.var() - 37) < 0.1  # 6² + 1
    # the sign is drawn per value: both occur about equally often within a gene and within a sample
    positive = nonlinear > 0
    assert (
        0.35 < positive.mean(axis=0).min() < positive.mean(axis=0).max() < 0.65
    )  # 500 values, sd 0.022
    assert (
        0.45 < positive.mean(axis=1).min() < positive.mean(axis=1).max() < 0.55
    )  # 2,500 values, sd 0.01


def test_linear_is_the_linear_part_of_mixed() -> None:
    mixed, linear = simulated_mixed(50, 20, seed=4), simulated_linear(50, 10, seed=4)
    assert np.array_equal(mixed.X[:, :10], linear.X)
    assert list(mixed.obs["label"]) == list(linear.obs["label"])


def test_more_genes_leave_the_first_ones_as_they_were() -> None:
    few, many = simulated_noise(50, 65, seed=0), simulated_noise(50, 200, seed=0)
    assert np.array_equal(few.X, many.X[:, :65])


def test_noise_is_the_same_law_in_both_classes() -> None:
    dataset = simulated_noise(seed=0)
    assert dataset.shape == (1000, 5000)
    gap = dataset.X[class_1(dataset)].mean(axis=0) - dataset.X[~class_1(dataset)].mean(axis=0)
    assert abs(np.std(gap) - 0.0632) < 0.003  # sqrt(1/500 + 1/500)
    assert abs(dataset.X.std() - 1) < 0.01
    assert dataset.uns == {"bayes_accuracy": 0.5, "bayes_rule": "none"}


def test_rows_are_not_sorted_by_class() -> None:
    assert 430 < class_1(simulated_linear(n_genes=1))[:500].sum() * 2 < 570


@pytest.mark.parametrize(
    ("n_samples", "minority", "n_class_1"),
    [(1000, 0.05, 50), (1000, 0.5, 500), (7, 0.5, 3), (100, 0.29, 29)],
)
def test_class_sizes_of_noise(n_samples: int, minority: float, n_class_1: int) -> None:
    assert class_1(simulated_noise(n_samples, 1, minority=minority)).sum() == n_class_1


def test_a_class_without_samples_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"0\.001 of 100 samples leaves class_1 empty; raise it to 0\.01"
    ):
        simulated_noise(100, 1, minority=0.001)


def test_bayes_accuracy_of_linear_genes() -> None:
    one_gene = simulated_linear(100_000, 1, seed=0)
    assert one_gene.uns["bayes_accuracy"] == pytest.approx(0.99865, abs=1e-5)  # Φ(3)
    assert ((one_gene.X[:, 0] > 3) == class_1(one_gene)).mean() == pytest.approx(0.99865, abs=5e-4)
    assert simulated_mixed(10, 16).uns["bayes_accuracy"] == 1.0
