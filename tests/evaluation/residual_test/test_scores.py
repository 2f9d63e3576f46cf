import numpy as np
import pytest

from beyondlinear.evaluation.residual_test.scores import (
    Expression,
    principal_components,
    score_statistics,
)


def bits(n: int = 400, p: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, p)).astype(np.float32)


def two(r: np.ndarray) -> np.ndarray:
    return np.c_[-r, r]


def test_the_score_of_one_product_by_hand():
    """Four samples, two genes of ±1: x₁x₂ = (1, −1, −1, 1), v = 1/4 each, mean product 0. With r =
    x₁x₂/2 the score of the pair is Σ r·x₁x₂ / √(Σ v (x₁x₂)²) = 2/1."""
    x = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=np.float32)
    data = Expression(x, x[:, :1])
    r, v = x[:, 0] * x[:, 1] / 2, np.full((4, 2), 0.25)
    found = score_statistics(data, two(r), v)
    assert found["pairs"] == pytest.approx(2.0)
    assert found["components"] == pytest.approx(2.0)  # gene 2 with component 1, which is gene 1
    # squares of ±1 do not vary: their scores are 0; z² of three products: (2², 0, 0)
    assert found["many_pairs"] == pytest.approx(4 / 3)


def test_one_planted_product_stands_out_of_all():
    x = bits(1000, 60)
    quiet = np.random.default_rng(1).choice([-0.5, 0.5], 1000)
    v = np.full((1000, 2), 0.25)
    data = Expression.of(x, 5)
    assert score_statistics(data, two(quiet), v)["pairs"] < 5
    planted = np.where(x[:, 7] * x[:, 30] > 0, 0.5, -0.5)
    assert score_statistics(data, two(planted), v)["pairs"] > 15


def test_a_squared_gene_is_a_product_too():
    x = bits(1000, 30)
    planted = np.where(x[:, 3] ** 2 > 0.45, 0.5, -0.5)
    assert (
        score_statistics(Expression.of(x, 2), two(planted), np.full((1000, 2), 0.25))["pairs"] > 15
    )


def test_scores_are_standard_under_the_law():
    x = bits(2000, 40)
    random = np.random.default_rng(3)
    p = 1 / (1 + np.exp(-x[:, 0]))
    r = (random.random(2000) < p) - p
    found = score_statistics(Expression.of(x, 5), two(r), np.c_[p * (1 - p), p * (1 - p)])
    assert found["many_pairs"] == pytest.approx(1.0, abs=0.15)  # mean z² of 820 products


def test_order_of_samples_and_of_genes_does_not_matter():
    x = bits()
    r = np.random.default_rng(1).uniform(-1, 1, 400)
    v = np.full((400, 2), 0.2)
    rows, genes = (
        np.random.default_rng(2).permutation(400),
        np.random.default_rng(3).permutation(12),
    )
    first = score_statistics(Expression.of(x, 3), two(r), v)
    other = score_statistics(
        Expression.of(np.ascontiguousarray(x[rows][:, genes]), 3), two(r[rows]), v
    )
    for name, value in first.items():
        assert other[name] == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(("n", "p"), [(50, 8), (8, 50)])
def test_components_are_those_of_the_singular_value_decomposition(n, p):
    x = bits(n, p)
    u, s, _ = np.linalg.svd((x - x.mean(0)).astype(float), full_matrices=False)
    ours = principal_components(x, 3)
    for k in range(3):
        assert abs(np.corrcoef(ours[:, k], u[:, k])[0, 1]) == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(ours.std(0), 1.0, rtol=1e-4)
    assert s[0] > s[1]
