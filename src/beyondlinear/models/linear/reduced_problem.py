"""The training problem of a ridge model in the basis of its rows: made once for all penalties,
solved there, and checked on the genes themselves.
"""

import numpy as np
import torch
from torch import Tensor

from beyondlinear.data.scaled_rows import dense
from beyondlinear.models.interface import FitData, Gram, Optimum
from beyondlinear.models.linear import newton
from beyondlinear.models.linear.losses import make_loss
from beyondlinear.models.linear.reduction import (
    Reduction,
    in_blocks,
    reduce,
    reduce_gram,
    transposed_product,
)
from beyondlinear.runtime.errors import OptimumError


class ReducedProblem:
    """The train part, reduced (see reduction.py), and the loss and class weights to fit it with.

    reduction: the rows in their basis; problem: what `newton` solves, of as many unknowns a score
    vector as the basis has directions; codes: (n,) classes of the train part;
    class_weights: (n_classes,) float64, ones where classes are not weighted.
    """

    def __init__(self, data: FitData, loss: str, class_weights: bool) -> None:
        """:param loss: "logistic" or "squared_hinge"
        :param class_weights: whether classes are weighted by their inverse frequency
        :raises OptimumError: no gene varies over the train part
        """
        self.data = data
        self.loss_name = loss
        self.codes = torch.from_numpy(data.train.codes)
        self.gram: Gram | None = data.gram
        self.reduction: Reduction
        if self.gram is None:
            self.reduction = reduce(dense(data.train.x))
        else:
            self.reduction = reduce_gram(self.gram.train)
        z = self.reduction.z
        if z.shape[1] == 0:
            raise OptimumError(
                f"no gene varies over the {len(self.codes)} samples of the train part, so a linear"
                " model has nothing to fit"
            )
        if class_weights:
            self.class_weights = torch.from_numpy(data.class_weights())
        else:
            self.class_weights = torch.ones(data.n_classes).double()
        self.problem = newton.Problem(
            z=z,
            z32=z.float(),
            loss=make_loss(loss, self.codes, data.n_classes),
            weights=self.class_weights[self.codes],
        )

    def weighted_loss(self, scores: Tensor, codes: Tensor) -> Tensor:
        """(m,) mean weighted losses of (n, m, k) scores, for m problems of k score vectors."""
        losses = make_loss(self.loss_name, codes, self.data.n_classes).value(scores)
        return (self.class_weights[codes] @ losses) / len(codes)

    def scores(self, part: str, coefficients: Tensor, intercepts: Tensor) -> Tensor:
        """(n_part, m, k) scores of "validation" or "test" for (rank, m, k) coefficients and (m, k)
        intercepts. The rows are centred by the mean row of the train part."""
        rank, m, k = coefficients.shape
        flat = coefficients.reshape(rank, m * k)
        if self.gram is not None:
            row_weights = self.reduction.row_weights(flat)
            of_mean_row = (self.gram.train @ row_weights).mean(0)
            centred = self.gram.others[part] @ row_weights - of_mean_row
        else:
            genes = self.reduction.gene_coefficients(flat, dense(self.data.train.x))
            of_mean_row = self._centre() @ genes
            centred = in_blocks(self._rows_of(part), genes) - of_mean_row
        return centred.view(-1, m, k) + intercepts

    def class_scores(self, part: str, solution: newton.Solution) -> np.ndarray:
        """(n_part, n_classes) scores of "validation" or "test" by one solution. One score vector s
        becomes −s/2 and s/2, whose softmax is its sigmoid."""
        scores = self.scores(part, solution.coefficients, solution.intercepts)[:, 0].numpy()
        if scores.shape[1] > 1:
            return scores
        return np.c_[-scores / 2, scores / 2]

    def certify(self, solution: newton.Solution, penalty: float) -> Optimum:
        """Check one solution against the genes themselves, where they are at hand.

        The certificate is ‖∇F‖ over `newton.Problem.reference`, with F's gradient by the genes'
        coefficients, X_c'·pull + λ·W, and by the intercepts, Σ_i pull_i, where pull_i = ω_i/n ·
        loss'(score_i).
        """
        relative_gradient = float(solution.relative_gradient[0])
        intercepts = solution.intercepts[0]
        genes = None
        scores = self.problem.scores(solution.theta)
        objective = self.problem.value(
            solution.theta, scores, torch.tensor([penalty], dtype=torch.float64)
        )
        if self.gram is None:
            x = dense(self.data.train.x)
            centre = self._centre()
            genes = self.reduction.gene_coefficients(solution.coefficients[:, 0], x)
            intercepts = intercepts - centre @ genes
            gene_scores = in_blocks(x, genes) + intercepts
            pull = self.problem.loss.gradient(gene_scores[:, None])[:, 0]
            pull *= self.problem.weights[:, None] / len(x)
            by_intercepts = pull.sum(0)
            of_loss = transposed_product(x, pull) - torch.outer(centre, by_intercepts)
            by_genes = of_loss + penalty * genes
            norm = float(torch.cat([by_genes, by_intercepts[None]]).norm())
            relative_gradient = norm / self.problem.reference()
        return Optimum(
            penalty=penalty,
            coefficients=genes,
            intercepts=intercepts,
            objective=float(objective),
            relative_gradient=relative_gradient,
            steps=int(solution.steps.sum()),
        )

    def _centre(self) -> Tensor:
        """(n_genes,) the mean row of the train part; known wherever the genes are."""
        centre = self.reduction.centre
        assert centre is not None
        return centre

    def _rows_of(self, part: str) -> np.ndarray:
        """(n_part, n_genes) the prepared genes of "validation" or "test"."""
        if part == "test":
            return dense(self.data.test_x)
        assert self.data.validation is not None
        return dense(self.data.validation.x)
