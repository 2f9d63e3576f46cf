"""Inner products that the fits of a run share: each takes its rows from one matrix instead of
multiplying its own.

That holds where every train prepares its genes in the same way (no scaling, or one fitted over all
samples) and where signal removal is a linear map of the rows of a part: applied to the rows and
then to the columns of a matrix of inner products it gives the inner products of the rows after
removal.
"""

from collections.abc import Callable

import numpy as np
import torch

from beyondlinear.models.interface import Gram
from beyondlinear.models.linear.reduction import gram
from beyondlinear.removal.modes import Removal, Rows

LARGEST = 2**30  # bytes of the matrix of all samples


class SharedGram:
    """x: (n_samples, n_genes) float32, all samples of the task, prepared; as_rows: how removal is
    given some of them."""

    def __init__(
        self, x: np.ndarray, as_rows: Callable[[str, np.ndarray, np.ndarray], Rows]
    ) -> None:
        self.inner = gram(x, centred=True).numpy()
        self.as_rows = as_rows

    def of(
        self, units: dict[str, np.ndarray], parts: dict[str, np.ndarray], removal: Removal
    ) -> Gram:
        """The inner products of one train.

        :param units: rows that go through removal together, by name
        :param parts: rows of "train" and of the parts that are scored
        :raises RemovalError: a unit on which removal is not defined
        """
        rows = np.concatenate(list(units.values()))
        g = self.inner[np.ix_(rows, rows)]
        for _ in range(2):
            start = 0
            for name, unit in units.items():
                removal.transform(self.as_rows(name, unit, g[start : start + len(unit)]))
                start += len(unit)
            g = np.ascontiguousarray(g.T)
        at = np.empty(len(self.inner), dtype=np.int64)
        at[rows] = np.arange(len(rows))
        train = at[parts["train"]]
        others = {
            k: torch.from_numpy(g[np.ix_(at[v], train)]) for k, v in parts.items() if k != "train"
        }
        return Gram(torch.from_numpy(g[np.ix_(train, train)]), others)
