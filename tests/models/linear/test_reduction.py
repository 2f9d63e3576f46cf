"""A change of basis that loses nothing, and inner products that stand for the genes."""

import numpy as np
import pytest
import torch

from beyondlinear.experiment.shared_gram import SharedGram
from beyondlinear.models.linear.reduction import gram, reduce, reduce_gram
from beyondlinear.removal.modes import ClassMeansRemoval, NoRemoval, Rows


@pytest.mark.parametrize(("n", "p"), [(20, 50), (50, 20), (30, 30)])
def test_distances_survive_and_columns_are_orthogonal(n, p):
    x = np.random.default_rng(0).normal(3, 2, size=(n, p)).astype(np.float32)
    x[:, 0] = 7  # constant
    x[:, 2] = 2 * x[:, 1]
    reduction = reduce(x)
    centred = x.astype(np.float64) - x.mean(0, dtype=np.float64)
    np.testing.assert_allclose(reduction.z @ reduction.z.T, centred @ centred.T, atol=1e-9)
    cross = (reduction.z.T @ reduction.z).numpy()
    np.testing.assert_allclose(cross, np.diag(np.diag(cross)), atol=1e-8)
    assert reduction.z.shape[1] == min(n - 1, p - 2)
    assert reduction.mean_square == pytest.approx((centred**2).sum() / n)


@pytest.mark.parametrize(("n", "p"), [(20, 50), (50, 20)])
def test_coefficients_of_genes_score_as_those_of_the_basis(n, p):
    rng = np.random.default_rng(1)
    x = rng.normal(3, 2, size=(n, p)).astype(np.float32)
    reduction = reduce(x)
    v = torch.from_numpy(rng.normal(size=(reduction.z.shape[1], 3)))
    genes = reduction.gene_coefficients(v, x)
    assert genes.shape == (p, 3)
    centred = x.astype(np.float64) - reduction.centre.numpy()
    np.testing.assert_allclose(centred @ genes.numpy(), (reduction.z @ v).numpy(), atol=1e-9)


def test_constant_genes_span_nothing():
    assert reduce(np.full((6, 9), 3, dtype=np.float32)).z.shape == (6, 0)
    assert reduce(np.full((9, 6), 3, dtype=np.float32)).z.shape == (9, 0)


@pytest.mark.parametrize("removal", [NoRemoval(), ClassMeansRemoval()])
def test_removal_on_inner_products_is_removal_on_rows(removal):
    """Rows after removal, multiplied, equal removal applied to both sides of the shared inner
    products."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 200)).astype(np.float32)
    codes = np.arange(60) % 3
    classes = ["a", "b", "c"]
    order = rng.permutation(60)
    parts = {
        "train": np.sort(order[:30]),
        "validation": np.sort(order[30:42]),
        "test": np.sort(order[42:]),
    }
    as_rows = lambda name, where, x: Rows(x, codes[where], classes, name, where)  # noqa: E731
    found = SharedGram(x, as_rows).of(parts, parts, removal)
    centred = x.astype(np.float64) - x.mean(
        0, dtype=np.float64
    )  # a common row changes nothing that has an intercept
    by_hand = {name: centred[rows] for name, rows in parts.items()}
    for name, rows in parts.items():
        removal.transform(as_rows(name, rows, by_hand[name]))
    np.testing.assert_allclose(found.train, by_hand["train"] @ by_hand["train"].T, atol=1e-5)
    for name in ("validation", "test"):
        np.testing.assert_allclose(
            found.others[name], by_hand[name] @ by_hand["train"].T, atol=1e-5
        )
    np.testing.assert_allclose(
        reduce_gram(found.train).mean_square,
        ((by_hand["train"] - by_hand["train"].mean(0)) ** 2).sum() / 30,
    )


def test_gram_with_other_rows():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(gram(x, x[:1]), [[14.0, 38.0, 62.0]])


def test_a_gene_far_from_zero_takes_no_digits_from_the_others():
    x = np.random.default_rng(0).normal(size=(30, 80))
    near = reduce(x).mean_square
    x[:, 0] += 1e7
    assert reduce(x).mean_square == pytest.approx(near, rel=1e-9)
