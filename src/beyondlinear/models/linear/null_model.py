"""The calibrated logistic null model: labels that depend on the expression linearly, and as
strongly as the real ones do.

A multinomial logistic model fitted to all rows is too sure of the very rows it was fitted to. Its
direction is kept; how far its logits spread is what calibrated out-of-fold logits spread. Labels
drawn from it are linear by construction and as predictable as the linear part of the real ones. It
serves `control=linear_labels` and the parametric bootstrap of the residual-prediction test.
"""

import itertools
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import minimize

from beyondlinear.models.linear.losses import make_loss
from beyondlinear.models.linear.newton import Problem, Solution, polish, solve
from beyondlinear.models.linear.reduction import reduce
from beyondlinear.models.probabilities import softmax
from beyondlinear.runtime.errors import OptimumError

TOLERANCE = 1e-6  # relative gradient norm at which a solution counts as the optimum
GRID = np.geomspace(1.0, 1e-6, 13)  # relative penalties, see ridge_model.py


@dataclass(frozen=True)
class NullModel:
    """A fitted null model.

    logits: (n, n_classes) of ONE linear model of the rows (mean over a unit, where a unit has
    several), with the spread of out-of-fold logits and the observed class frequencies; out_of_fold:
    (n, n_classes), calibrated, each row's from models that never saw its fold; slope, shifts: by
    how much raw out-of-fold logits had to be stretched, and (n_classes,) moved; coefficients,
    intercepts: (n_genes, n_classes) and (n_classes,), calibrated likewise, for rows that the model
    never saw.
    """

    logits: np.ndarray
    out_of_fold: np.ndarray
    relative_penalty: float
    relative_gradient: float
    slope: float
    coefficients: np.ndarray | None = None
    intercepts: np.ndarray | None = None
    shifts: np.ndarray = field(default_factory=lambda: np.zeros(1))

    @property
    def probabilities(self) -> np.ndarray:
        return softmax(self.logits)

    def draw(self, random: np.random.Generator, units: np.ndarray) -> np.ndarray:
        """(n,) codes drawn from the model, one draw a unit.

        :param units: (n,) 0 … n_units - 1
        """
        first = np.unique(units, return_index=True)[1]
        cumulated = self.probabilities[first].cumsum(1)
        drawn = (random.random(len(first))[:, None] > cumulated[:, :-1]).sum(1)
        return drawn[units].astype(np.int64)

    def bayes_balanced_accuracy(self) -> float:
        """Expected balanced accuracy, on these rows, of the rule that knows the probabilities:
        the class with the largest p_c/π_c."""
        return balanced_bayes(self.probabilities)


class FoldedRows:
    """Rows in an orthogonal basis, reduced once for any number of labellings, and the folds that
    are left out in turn.

    x: (n, n_genes) float32 or float64; folds: (n,) fold of each row; units: (n,) rows of one unit
    share their label.
    """

    def __init__(self, x: np.ndarray, folds: np.ndarray, units: np.ndarray | None = None) -> None:
        self.x, self.reduction = x, reduce(x)
        self.z = self.reduction.z
        if self.z.shape[1] == 0:
            raise OptimumError(
                f"no gene varies over the {len(x)} samples, so a linear model has nothing to fit"
            )
        self.units = (
            np.arange(len(x)) if units is None else np.unique(units, return_inverse=True)[1]
        )
        self.folds = folds
        self._problems: dict[tuple[int, ...], tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def training(self, *left_out: int) -> np.ndarray:
        """Rows outside these folds."""
        return np.flatnonzero(~np.isin(self.folds, left_out))

    def problem(
        self, codes: np.ndarray, n_classes: int, *left_out: int
    ) -> tuple[Problem, torch.Tensor]:
        """The ridge problem of the rows outside these folds, and the mean row it is centred on.

        :raises OptimumError: a class does not occur outside them
        """
        rows = self.training(*left_out)
        missing = np.setdiff1d(np.arange(n_classes), codes[rows])
        if len(missing):
            where = " and ".join(map(str, left_out))
            raise OptimumError(
                f"class {missing[0]} does not occur outside fold {where}: its linear null"
                " model cannot be estimated"
            )
        if left_out not in self._problems:
            z = self.z[torch.from_numpy(rows)]
            centre = z.mean(0)
            z = z - centre
            self._problems[left_out] = (z, z.float(), centre)
        z, z32, centre = self._problems[left_out]
        loss = make_loss("logistic", torch.from_numpy(codes[rows]), n_classes)
        return Problem(z, z32, loss, torch.ones(len(z), dtype=torch.float64)), centre

    def scores(self, solution: Solution, centre: torch.Tensor, rows: np.ndarray) -> np.ndarray:
        """(len(rows), n_problems, n_classes) logits; two classes: −s/2 and s/2."""
        z = self.z[torch.from_numpy(rows)] - centre
        n, (m, k) = len(z), solution.coefficients.shape[1:]
        s = (
            (z @ solution.coefficients.reshape(-1, m * k)).view(n, m, k) + solution.intercepts
        ).numpy()
        return np.concatenate([-s / 2, s / 2], axis=2) if k == 1 else s

    def genes(
        self, solution: Solution, slope: float, shifts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(n_genes, n_classes) coefficients and (n_classes,) intercepts of a solution on all rows,
        calibrated."""
        w = self.reduction.gene_coefficients(solution.coefficients[:, 0], self.x).numpy()
        b = solution.intercepts[0].numpy() - self.x.mean(0, dtype=np.float64) @ w
        if w.shape[1] == 1:  # one score vector s of two classes: −s/2 and s/2
            w = np.c_[-w / 2, w / 2]
            b = np.r_[-b / 2, b / 2]
        return slope * (w - w.mean(1, keepdims=True)), slope * (b - b.mean()) + shifts

    def mean_over_units(self, values: np.ndarray) -> np.ndarray:
        """(n_units, …) means over the rows of each unit."""
        sums = np.zeros((self.units.max() + 1, *values.shape[1:]))
        np.add.at(sums, self.units, values)
        return sums / np.bincount(self.units)[(...,) + (None,) * (values.ndim - 1)]


def fit_null_model(
    rows: FoldedRows,
    codes: np.ndarray,
    n_classes: int,
    grid: np.ndarray = GRID,
    for_new_rows: bool = False,
) -> NullModel:
    """The null model of the given labels.

    The penalty is the one with the smallest out-of-fold log-loss; out-of-fold logits are calibrated
    by a slope and intercepts.
    :param codes: (n,) 0 … n_classes - 1, constant within units; every class occurs outside every
        fold
    :param grid: relative penalties, falling
    :param for_new_rows: give coefficients of the genes as well
    :raises OptimumError: a solution that could not be certified
    """
    raw = np.empty((len(codes), len(grid), n_classes))
    for fold in np.unique(rows.folds):
        held_out = np.flatnonzero(rows.folds == fold)
        problem, centre = rows.problem(codes, n_classes, int(fold))
        found = solve(problem, _penalties(problem, grid), TOLERANCE)
        raw[held_out] = rows.scores(found, centre, held_out)
    losses = [log_loss(raw[:, i], codes) for i in range(len(grid))]
    chosen = int(np.argmin(losses))
    unit_codes = rows.mean_over_units(codes[:, None].astype(float))[:, 0].round().astype(np.int64)
    spread = rows.mean_over_units(raw[:, chosen] - raw[:, chosen].mean(1, keepdims=True))
    slope, shifts = calibrate(spread, unit_codes, n_classes)
    problem, centre = rows.problem(codes, n_classes)
    penalty = _penalties(problem, grid[chosen : chosen + 1])
    best = polish(problem, solve(problem, penalty, TOLERANCE), float(penalty[0]), TOLERANCE, 1e-5)
    relative = float(best.relative_gradient[0])
    if not relative <= TOLERANCE:
        raise OptimumError(
            f"the linear model of all {len(codes)} rows could not be certified: relative gradient"
            f" {relative:.1e}, at most {TOLERANCE:g} is allowed; standardise the genes"
        )
    ours = rows.mean_over_units(rows.scores(best, centre, rows.training())[:, 0])
    ours -= ours.mean(1, keepdims=True)
    width = _width(ours)
    stretched = ours * (slope * _width(spread) / width if width > 0 else 0.0)
    logits = with_frequencies(
        stretched[rows.units], np.bincount(codes, minlength=n_classes) / len(codes)
    )
    out_of_fold = (slope * spread + shifts)[rows.units]
    w, b = rows.genes(best, slope, shifts) if for_new_rows else (None, None)
    return NullModel(logits, out_of_fold, float(grid[chosen]), relative, slope, w, b, shifts)


def nested_offsets(
    rows: FoldedRows, codes: np.ndarray, n_classes: int, null_model: NullModel
) -> dict[int, np.ndarray]:
    """For each fold (n, n_classes) calibrated logits that may be used where that fold is held out:
    its own rows' from the model of all others, each other row's from a model that saw neither its
    own fold nor the one held out.

    Out-of-fold logits alone will not do: those of a training row come from a model that saw the
    held-out labels, and whoever learns from their residuals learns the held-out residuals with the
    opposite sign.
    :raises OptimumError: a class does not occur outside two folds
    """
    folds = [int(f) for f in np.unique(rows.folds)]
    offsets = {f: null_model.out_of_fold.copy() for f in folds}
    grid = np.array([null_model.relative_penalty])
    for f, g in itertools.combinations(folds, 2):
        problem, centre = rows.problem(codes, n_classes, f, g)
        found = solve(problem, _penalties(problem, grid), TOLERANCE)
        for held_out, other in ((f, g), (g, f)):
            here = np.flatnonzero(rows.folds == other)
            raw = rows.scores(found, centre, here)[:, 0]
            centred = raw - raw.mean(1, keepdims=True)
            offsets[held_out][here] = null_model.slope * centred + null_model.shifts
    return {f: rows.mean_over_units(logits)[rows.units] for f, logits in offsets.items()}


def calibrate(logits: np.ndarray, codes: np.ndarray, n_classes: int) -> tuple[float, np.ndarray]:
    """Slope ≥ 0 and (n_classes,) intercepts that minimise the log-loss of softmax(slope·logits +
    intercepts).

    A share 1/(n + K) of each target goes to each class, as if every class had been seen once more:
    the slope stays finite where the logits separate the classes.
    """
    n = len(codes)
    width = _width(logits)
    if width == 0:
        return 0.0, np.log(np.bincount(codes, minlength=n_classes) / n)
    z = logits / width
    target = np.full((n, n_classes), 1 / (n + n_classes))
    target[np.arange(n), codes] += 1 - n_classes / (n + n_classes)

    def loss(v: np.ndarray) -> tuple[float, np.ndarray]:
        p = softmax(v[0] * z + v[1:])
        pull = (p - target) / n
        value = -(target * np.log(np.maximum(p, 1e-300))).sum() / n
        return value, np.r_[(pull * z).sum(), pull.sum(0)]

    start = np.r_[1.0, np.zeros(n_classes)]
    bounds = [(0.0, None)] + [(None, None)] * n_classes
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 500},
    )
    shifts = found.x[1:] - found.x[1:].mean()
    return float(found.x[0] / width), shifts


def with_frequencies(logits: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """The logits, each class shifted so that its mean probability is its frequency."""

    def loss(shift: np.ndarray) -> tuple[float, np.ndarray]:
        moved = logits + shift
        largest = moved.max(1)
        total = largest + np.log(np.exp(moved - largest[:, None]).sum(1))
        return float(total.mean() - frequencies @ shift), softmax(moved).mean(0) - frequencies

    shift = minimize(
        loss,
        np.log(frequencies),
        jac=True,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-9},
    ).x
    return logits + shift - shift.mean()


def balanced_bayes(probabilities: np.ndarray) -> float:
    """Expected balanced accuracy on rows with these (n, n_classes) label probabilities of argmax
    p_c/π_c, π their mean."""
    share = probabilities.mean(0)
    best = (probabilities / share).argmax(1)
    hits = np.bincount(best, probabilities[np.arange(len(best)), best], minlength=len(share)) / len(
        best
    )
    return float((hits / share).mean())


def log_loss(logits: np.ndarray, codes: np.ndarray) -> float:
    largest = logits.max(1)
    total = largest + np.log(np.exp(logits - largest[:, None]).sum(1))
    return float((total - logits[np.arange(len(codes)), codes]).mean())


def _penalties(problem: Problem, grid: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(
        np.asarray(grid, dtype=np.float64) * float(problem.z.square().sum() / problem.n)
    )


def _width(logits: np.ndarray) -> float:
    """Root mean square of the logits about each class's mean."""
    return float(np.sqrt(((logits - logits.mean(0)) ** 2).mean()))
