"""Ridge-penalised linear models solved to a certified optimum: Newton's method, many penalties at
once.

Minimised over coefficients V (one column a score vector) and intercepts b, which are not penalised:

    F(V, b) = (1/n) Σ_i ω_i · loss(V'z_i + b, y_i) + (λ/2) ‖V‖²

Each Newton step solves H·step = −gradient by conjugate gradients, preconditioned by the diagonal of
H, to an accuracy that grows as the gradient falls (Dembo, Eisenstat & Steihaug 1982), and is
shortened until F has fallen enough (Armijo). In the basis of `reduction.py` the columns of z are
orthogonal, so that the diagonal is most of H. Products with H run in float32: they steer the steps
only; gradients, losses and the certificate are float64.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from beyondlinear.models.linear.losses import Loss

MOST_STEPS = 200
MOST_CG = 250
_ARMIJO = 1e-4


@dataclass(frozen=True)
class Solution:
    """coefficients: (n_features, n_problems, n_vectors) and intercepts: (n_problems, n_vectors),
    float64.

    relative_gradient: (n_problems,) ‖∇F‖ over `reference`; steps: (n_problems,) Newton steps taken.
    """

    coefficients: Tensor
    intercepts: Tensor
    relative_gradient: Tensor
    steps: Tensor

    def one(self, i: int) -> "Solution":
        """The solution of problem i alone."""
        return Solution(
            self.coefficients[:, i : i + 1],
            self.intercepts[i : i + 1],
            self.relative_gradient[i : i + 1],
            self.steps[i : i + 1],
        )

    @property
    def theta(self) -> Tensor:
        return torch.cat([self.coefficients, self.intercepts[None]])


@dataclass(frozen=True)
class Problem:
    """z: (n, n_features) float64 and `z32`, the same in float32; weights: (n,) ω_i."""

    z: Tensor
    z32: Tensor
    loss: Loss
    weights: Tensor

    @property
    def n(self) -> int:
        return len(self.weights)

    def scores(self, theta: Tensor) -> Tensor:
        """θ: (n_features + 1, m, k), the intercepts in the last row → (n, m, k)."""
        m, k = theta.shape[1:]
        return torch.addmm(theta[-1].reshape(1, m * k), self.z, theta[:-1].reshape(-1, m * k)).view(
            self.n, m, k
        )

    def value(self, theta: Tensor, scores: Tensor, penalties: Tensor) -> Tensor:
        """(m,) values of F."""
        data = self.weights @ self.loss.value(scores) / self.n
        return data + penalties / 2 * theta[:-1].square().sum((0, 2))

    def gradient(self, theta: Tensor, scores: Tensor, penalties: Tensor) -> Tensor:
        pull = self.loss.gradient(scores).mul_(self.weights[:, None, None] / self.n)
        m, k = theta.shape[1:]
        slope = torch.empty_like(theta)
        torch.mm(self.z.T, pull.view(self.n, m * k), out=slope[:-1].view(-1, m * k))
        slope[:-1] += penalties[None, :, None] * theta[:-1]
        slope[-1] = pull.sum(0)
        return slope

    def reference(self) -> float:
        """What a gradient's norm is compared with: that of F at zero coefficients and the best
        intercepts, the pull that the labels exert; where they exert less (after signal removal),
        the pull that labels at random would.
        """
        nothing = Problem(self.z[:, :0], self.z32[:, :0], self.loss, self.weights)
        zero = self.z.new_zeros(1, 1, self.loss.n_vectors)
        penalty = self.z.new_zeros(1)
        intercepts = _descend(nothing, penalty, zero, tolerance=1e-12, reference=1.0)[0]
        pull = self.loss.gradient(nothing.scores(intercepts))[:, 0] * self.weights[:, None] / self.n
        together = float((pull.norm(dim=1) * self.z.norm(dim=1)).sum())
        return max(float((self.z.T @ pull).norm()), together / self.n**0.5, 1e-300)

    def separated(self, solution: Solution) -> Tensor:
        """(n_problems,) bool: every sample lies strictly on its class's side, which proves that an
        unpenalised logistic loss has no minimum."""
        return self.loss.separated(self.scores(solution.theta))

    def drift(self, solution: Solution) -> float:
        """Length of one more Newton step without penalty, over that of the solution."""
        theta, zero = solution.theta, self.z.new_zeros(len(solution.intercepts))
        scores = self.scores(theta)
        slope = self.gradient(theta, scores, zero)
        step = _newton_step(self, scores, slope, zero, torch.full_like(zero, 1e-3))
        return float(step.norm() / theta.norm().clamp(min=1e-300))

    def unique(self, solution: Solution, tolerance: float) -> bool:
        """Whether a descent without penalty from elsewhere ends in the same coefficients, up to
        what all vectors share."""
        generator = torch.Generator().manual_seed(0)
        theta = solution.theta
        away = torch.randn(theta.shape, generator=generator, dtype=theta.dtype) * theta.abs().mean()
        zero = self.z.new_zeros(len(solution.intercepts))
        other = _descend(self, zero, theta + away, tolerance, self.reference())[0]
        difference = (other - theta)[:-1]
        if theta.shape[2] > 1:
            difference = difference - difference.mean(2, keepdim=True)
        return float(difference.norm()) <= 1e-2 * float(theta[:-1].norm())


def path(problem: Problem, penalties: Tensor, tolerance: float) -> Iterator[Solution]:
    """The minimum of F for each penalty, in groups that are solved together, each from the solution
    before it.

    :param penalties: (n_problems,) λ > 0, falling
    :param tolerance: largest relative gradient norm
    """
    k = problem.loss.n_vectors
    reference = problem.reference()
    theta = problem.z.new_zeros(problem.z.shape[1] + 1, 1, k)
    # products of z with several problems are one matrix product; a squared hinge needs a near start
    # more than a wide product
    for together in penalties.split(max(3, (24 if problem.loss.smooth else 6) // k)):
        theta, relative, steps = _descend(
            problem, together, theta[:, -1:].repeat(1, len(together), 1), tolerance, reference
        )
        yield Solution(theta[:-1], theta[-1], relative, steps)


def solve(problem: Problem, penalties: Tensor, tolerance: float) -> Solution:
    """All of `path` as one."""
    found = list(path(problem, penalties, tolerance))
    return Solution(
        torch.cat([s.coefficients for s in found], dim=1),
        torch.cat([s.intercepts for s in found]),
        torch.cat([s.relative_gradient for s in found]),
        torch.cat([s.steps for s in found]),
    )


def polish(
    problem: Problem, solution: Solution, penalty: float, tolerance: float, of_length: float
) -> Solution:
    """One solution, carried on until its gradient is also below `of_length`·λ‖V‖: F is λ-strongly
    convex in V, so that V is then within that share of its length from the optimum's, which a small
    gradient alone does not say at a small λ.
    """
    reference = problem.reference()
    length = penalty * float(solution.coefficients.norm()) / reference
    theta, relative, steps = _descend(
        problem,
        solution.coefficients.new_tensor([penalty]),
        solution.theta.clone(),
        min(tolerance, of_length * length) if length > 0 else tolerance,
        reference,
    )
    return Solution(theta[:-1], theta[-1], relative, solution.steps + steps)


def _descend(
    problem: Problem, penalties: Tensor, theta: Tensor, tolerance: float, reference: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Newton's method from `theta`, for all penalties at once; those that are solved drop out.

    :param theta: (n_features + 1, n_problems, n_vectors) where each problem starts; changed in
        place
    :param reference: what a gradient's norm is compared with
    :returns: θ, and (n_problems,) relative gradients and Newton steps
    """
    n_problems = len(penalties)
    relative = penalties.new_full((n_problems,), torch.inf)
    steps = torch.zeros(n_problems, dtype=torch.long)
    active = torch.arange(n_problems)  # problems that are not solved yet
    scores = problem.scores(theta)  # of the active ones
    for _ in range(MOST_STEPS):
        now, lam = theta[:, active], penalties[active]
        slope = problem.gradient(now, scores, lam)
        relative[active] = slope.norm(dim=(0, 2)) / reference

        unsolved = relative[active] > tolerance
        if not unsolved.any():
            break
        if not unsolved.all():
            active, lam = active[unsolved], lam[unsolved]
            now, slope, scores = now[:, unsolved], slope[:, unsolved], scores[:, unsolved]

        step = _newton_step(problem, scores, slope, lam, _accuracy(relative[active], tolerance))
        now, scores, moved = _line_search(problem, now, scores, step, slope, lam)
        theta[:, active] = now
        steps[active] += 1

        # where F cannot fall any further in float64, what is left of the gradient is rounding
        if not moved.all():
            active, scores = active[moved], scores[:, moved]
            if not len(active):
                break
    return theta, relative, steps


def _accuracy(relative: Tensor, tolerance: float) -> Tensor:
    """At what share of the gradient's norm the residual of a Newton step is small enough: √ of the
    relative gradient, so that steps get exact as the optimum comes near (Dembo et al. 1982), but no
    finer than what brings the gradient to .3 of the tolerance; at most .1."""
    superlinear = relative.sqrt().clamp(max=0.1)
    enough = (0.3 * tolerance / relative).clamp(max=0.1)
    return superlinear.maximum(enough)


def _newton_step(
    problem: Problem, scores: Tensor, slope: Tensor, penalties: Tensor, accuracy: Tensor
) -> Tensor:
    """Preconditioned conjugate gradients on H·step = −slope for all problems together, in float32.

    :param accuracy: (m,) at what share of the slope's norm the residual is small enough
    """
    n, (m, k) = problem.n, scores.shape[1:]
    f = torch.float32
    z = problem.z32
    curvature = problem.loss.curvature(scores, f)
    w = (problem.weights / n).to(f)[:, None, None]
    lam = penalties.to(f)[None, :, None]
    diagonal = torch.empty(slope.shape, dtype=f)
    weighted = (w * curvature.diagonal).view(n, m * k)
    torch.mm(z.square().T, weighted, out=diagonal[:-1].view(-1, m * k))
    diagonal[:-1] += lam
    diagonal[-1] = weighted.sum(0).view(m, k)
    diagonal.clamp_(min=1e-30)

    def times(v: Tensor) -> Tensor:
        u = torch.addmm(v[-1].reshape(1, m * k), z, v[:-1].reshape(-1, m * k)).view(n, m, k)
        u = (curvature.times(u) * w).view(n, m * k)
        out = torch.empty_like(v)
        torch.mm(z.T, u, out=out[:-1].view(-1, m * k))
        out[:-1] += lam * v[:-1]
        out[-1] = u.sum(0).view(m, k)
        return out

    scale = slope.norm(dim=(0, 2), keepdim=True).clamp(min=1e-300)
    r = (-slope / scale).to(f)
    accuracy = accuracy.clamp(min=1e-4).to(f)
    x = torch.zeros_like(r)
    y = r / diagonal
    p = y.clone()
    rho = (r * y).sum((0, 2))
    for _ in range(MOST_CG):
        hp = times(p)
        curved = (p * hp).sum((0, 2))
        going = (r.norm(dim=(0, 2)) > accuracy) & (curved > 0)
        if not going.any():
            break
        a = torch.where(going, rho / curved, torch.zeros(()))[None, :, None]
        x += a * p
        r -= a * hp
        y = r / diagonal
        new = (r * y).sum((0, 2))
        p = y + torch.where(going, new / rho, torch.zeros(()))[None, :, None] * p
        rho = new
    return x.double() * scale


def _line_search(
    problem: Problem, theta: Tensor, scores: Tensor, step: Tensor, slope: Tensor, penalties: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Halve each problem's step until F falls by a share of what its slope promises; also says
    which problems moved."""
    along = problem.scores(step)
    before = problem.value(theta, scores, penalties)
    promised = (slope * step).sum((0, 2))
    size = torch.ones_like(before)
    for _ in range(40):
        t = size[None, :, None]
        after = problem.value(theta + t * step, scores + t * along, penalties)
        # at the optimum F is flat to rounding: a full Newton step is then right
        short = after > before + _ARMIJO * size * promised + 1e-14 * before.abs()
        if not short.any():
            break
        size = torch.where(short, size / 2, size)
    size = torch.where(short, torch.zeros_like(size), size)
    t = size[None, :, None]
    return theta + t * step, scores + t * along, size > 0
