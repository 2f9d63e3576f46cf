"""The solver against scikit-learn, against a generic convex solver, and against what must hold at
an optimum."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from beyondlinear.models.linear.losses import make_loss
from beyondlinear.models.linear.newton import Problem, path, polish, solve
from beyondlinear.models.linear.reduction import reduce


def data(n: int, p: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated genes of unequal scale, classes of unequal size and separable where p > n."""
    rng = np.random.default_rng(seed)
    codes = np.minimum(rng.geometric(0.5, n) - 1, n_classes - 1)
    codes[:n_classes] = np.arange(n_classes)
    x = (
        rng.normal(size=(n, p)) * rng.uniform(0.2, 3, p)
        + rng.normal(size=(n, 3)) @ rng.normal(size=(3, p))
        + 5
    )
    x[:, :4] += codes[:, None] * rng.normal(size=4)
    return x.astype(np.float32), codes


def problem(
    x: np.ndarray, codes: np.ndarray, n_classes: int, loss: str, weights: np.ndarray | None = None
):
    reduction = reduce(x)
    w = torch.ones(len(x)).double() if weights is None else torch.from_numpy(weights)
    z = reduction.z
    return reduction, Problem(z, z.float(), make_loss(loss, torch.from_numpy(codes), n_classes), w)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize(("n", "p"), [(60, 200), (200, 12), (50, 50)])
def test_logistic_equals_scikit_learn(n, p, n_classes):
    x, codes = data(n, p, n_classes)
    reduction, q = problem(x, codes, n_classes, "logistic")
    for relative in (1e-1, 1e-3, 1e-5):
        penalty = relative * reduction.mean_square
        mine = solve(q, torch.tensor([penalty], dtype=torch.float64), 1e-8)
        mine = polish(q, mine, penalty, 1e-8, of_length=1e-6)
        theirs = LogisticRegression(
            C=1 / (penalty * n), tol=1e-9, max_iter=20_000, solver="newton-cg"
        )
        theirs.fit(x.astype(np.float64), codes)
        w = reduction.gene_coefficients(mine.coefficients[:, 0], x).numpy().T
        assert np.linalg.norm(w - theirs.coef_) <= 1e-4 * np.linalg.norm(theirs.coef_)
        b = mine.intercepts[0].numpy() - reduction.centre.numpy() @ w.T
        assert np.abs((b - b.mean()) - (theirs.intercept_ - theirs.intercept_.mean())).max() <= 1e-3
        assert mine.relative_gradient.max() <= 1e-8


def weston_watkins(
    flat: np.ndarray, x: np.ndarray, codes: np.ndarray, k: int, penalty: float, weights: np.ndarray
):
    """Σ_{j≠y} max(0, 1 − s_y + s_j)²/(K − 1), written out from its definition; also its
    gradient."""
    n, p = x.shape
    w, b = flat[: p * k].reshape(p, k), flat[p * k :]
    s = x @ w + b
    short = np.maximum(0, 1 - s[np.arange(n), codes][:, None] + s)
    short[np.arange(n), codes] = 0
    value = (weights * (short**2).sum(1)).mean() / (k - 1) + penalty / 2 * (w**2).sum()
    g = 2 * short * weights[:, None] / (n * (k - 1))
    g[np.arange(n), codes] = -g.sum(1)
    return value, np.r_[(x.T @ g + penalty * w).ravel(), g.sum(0)]


def test_squared_hinge_equals_a_generic_solver():
    x, codes = data(90, 15, 3)
    weights = np.array([0.5, 1.0, 3.0])[codes]
    weights /= weights.mean()
    reduction, q = problem(x, codes, 3, "squared_hinge", weights)
    penalty = 1e-2 * reduction.mean_square
    mine = solve(q, torch.tensor([penalty], dtype=torch.float64), 1e-9)
    arguments = (x.astype(np.float64) - x.mean(0, dtype=np.float64), codes, 3, penalty, weights)
    options = {"maxiter": 50_000, "maxfun": 50_000, "ftol": 1e-16, "gtol": 1e-12}
    theirs = minimize(
        weston_watkins, np.zeros(16 * 3), arguments, jac=True, method="L-BFGS-B", options=options
    )
    w = reduction.gene_coefficients(mine.coefficients[:, 0], x).numpy()
    expected = theirs.x[: 15 * 3].reshape(15, 3)
    assert np.linalg.norm(w - expected) <= 1e-4 * np.linalg.norm(expected)
    value = q.value(mine.theta, q.scores(mine.theta), torch.tensor([penalty], dtype=torch.float64))
    assert abs(float(value) - theirs.fun) <= 1e-9 * theirs.fun


def test_two_class_squared_hinge_equals_a_generic_solver():
    x, codes = data(80, 200, 2)
    reduction, q = problem(x, codes, 2, "squared_hinge")
    penalty = 1e-3 * reduction.mean_square
    mine = solve(q, torch.tensor([penalty], dtype=torch.float64), 1e-9)
    xc, t = x.astype(np.float64) - x.mean(0, dtype=np.float64), 2.0 * codes - 1

    def objective(v):
        short = np.maximum(0, 1 - t * (xc @ v[:-1] + v[-1]))
        g = -2 * t * short / len(t)
        return (short**2).mean() + penalty / 2 * (v[:-1] ** 2).sum(), np.r_[
            xc.T @ g + penalty * v[:-1], g.sum()
        ]

    options = {"maxiter": 50_000, "maxfun": 50_000, "ftol": 1e-16, "gtol": 1e-12}
    theirs = minimize(objective, np.zeros(201), jac=True, method="L-BFGS-B", options=options)
    w = reduction.gene_coefficients(mine.coefficients[:, 0], x).numpy()[:, 0]
    assert np.linalg.norm(w - theirs.x[:-1]) <= 1e-4 * np.linalg.norm(theirs.x[:-1])


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_path_is_its_penalties_solved_alone(loss, n_classes):
    x, codes = data(70, 300, n_classes)
    reduction, q = problem(x, codes, n_classes, loss)
    penalties = torch.from_numpy(reduction.mean_square * np.geomspace(1, 1e-7, 15))
    together = solve(q, penalties, 1e-8)
    assert together.relative_gradient.max() <= 1e-8
    for i in (0, 7, 14):
        one = polish(q, together.one(i), float(penalties[i]), 1e-8, of_length=1e-6)
        alone = polish(
            q, solve(q, penalties[i : i + 1], 1e-8), float(penalties[i]), 1e-8, of_length=1e-6
        )
        assert (one.coefficients - alone.coefficients).norm() <= 2e-6 * alone.coefficients.norm()
    assert sum(len(s.steps) for s in path(q, penalties, 1e-8)) == 15


def test_without_signal_the_optimum_is_the_constant():
    """Equal class means: a logistic loss with any ridge has its minimum at zero (Belrose et al.
    2023)."""
    x, codes = data(100, 300, 2)
    x = x.astype(np.float64)
    for c in (0, 1):
        x[codes == c] -= x[codes == c].mean(0)
    _, q = problem(x, codes, 2, "logistic")
    found = solve(q, torch.tensor([1e-6], dtype=torch.float64), 1e-11)
    assert float(found.coefficients.abs().max()) < 1e-6
    share = codes.mean()
    assert float(found.intercepts[0, 0]) == pytest.approx(np.log(share / (1 - share)), abs=1e-8)


def test_separated_is_a_proof_and_drift_tells_the_absence_of_an_optimum():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)).astype(np.float32)
    noisy = (x[:, 0] + rng.normal(size=200) > 0).astype(np.int64)
    clean = (x[:, 0] > 0).astype(np.int64)
    for codes, exists in ((noisy, True), (clean, False)):
        _, q = problem(x, codes, 2, "logistic")
        found = solve(q, torch.zeros(1).double(), 1e-6)
        assert bool(q.separated(found)) is not exists
        assert (q.drift(found) < 1e-2) is exists
