"""An eraser as it lies beside a fit's predictions, with the gene selection and scaling it was
fitted after: applied to new samples, it gives what the fit would have been given."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from beyondlinear.data.scaling import Preparation
from beyondlinear.removal.erasers import Eraser
from beyondlinear.removal.modes import Removal
from beyondlinear.runtime.errors import RemovalError


@dataclass(frozen=True)
class FrozenRemoval:
    """An eraser with what its input goes through first.

    gene_ids: (n_genes,) str, the genes of the eraser in its order; preparation: their scaling,
    without a selection of genes.
    """

    gene_ids: np.ndarray
    preparation: Preparation
    eraser: Eraser

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "FrozenRemoval":
        """:raises RemovalError: arrays of a fit without an eraser"""
        eraser = Eraser.from_arrays(arrays)
        if eraser is None or "eraser_gene_ids" not in arrays:
            raise RemovalError(
                "this fit holds no eraser: only signal_removal=leace, projection and quadratic"
                " learn a map that new samples can go through"
            )
        scaling = Preparation(None, arrays.get("eraser_shift"), arrays.get("eraser_factor"))
        return cls(arrays["eraser_gene_ids"], scaling, eraser)

    def apply(self, x: np.ndarray, gene_ids: np.ndarray) -> np.ndarray:
        """New samples as the fit's model would see them: (n_samples, n_genes of the eraser)
        float32, columns by `gene_ids` of the eraser. Labels are not needed.

        :param x: (n_samples, n_genes) float32, in the units of the data the eraser was fitted on
        :param gene_ids: (n_genes,) str, in any order; genes that the eraser does not know are left
            out
        :raises RemovalError: genes are missing or occur twice, or values are not finite
        """
        column_of_gene = {str(g): i for i, g in enumerate(gene_ids)}
        if len(column_of_gene) < len(gene_ids):
            raise RemovalError(
                f"{len(gene_ids) - len(column_of_gene)} of {len(gene_ids)} gene ids occur twice;"
                " make them unique"
            )
        missing = [str(g) for g in self.gene_ids if str(g) not in column_of_gene]
        if missing:
            raise RemovalError(
                f"the eraser was fitted on {len(self.gene_ids)} genes, and {len(missing)} of them"
                f" are missing here (e.g. {', '.join(missing[:3])}); it cannot be applied to other"
                " genes than it was fitted on"
            )
        columns = np.array([column_of_gene[str(g)] for g in self.gene_ids])
        selected = np.ascontiguousarray(x[:, columns], dtype=np.float32)
        prepared = self.preparation.apply(selected, np.arange(len(x)))
        return self.eraser.apply(prepared, out=prepared)


def frozen_arrays(
    removal: Removal, preparation: Preparation, gene_ids: np.ndarray
) -> dict[str, np.ndarray]:
    """What `FrozenRemoval.from_arrays` reads; nothing for a removal without a map."""
    arrays = removal.arrays()
    if not arrays:
        return {}
    genes = gene_ids if preparation.genes is None else gene_ids[preparation.genes]
    arrays["eraser_gene_ids"] = np.asarray(genes, dtype=np.str_)
    if preparation.shift is not None and preparation.factor is not None:
        arrays |= {"eraser_shift": preparation.shift, "eraser_factor": preparation.factor}
    return arrays
