"""An eraser as it lies beside a fit's predictions, with the gene selection and scaling it was fitted after: applied to new
samples, it gives what the fit would have been given."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from beyondlinear.data.file import load_unlabelled
from beyondlinear.errors import RemovalError, ResultsError
from beyondlinear.removal.erasers import Eraser
from beyondlinear.removal.modes import Removal
from beyondlinear.results import atomic, stored
from beyondlinear.scaling import Preparation


@dataclass(frozen=True)
class FrozenRemoval:
    """gene_ids: (n_genes,) str, the genes of the eraser in its order; shift, factor: (n_genes,) float32 scaling, or None."""

    gene_ids: np.ndarray
    preparation: Preparation
    eraser: Eraser

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "FrozenRemoval":
        """:raises RemovalError: arrays of a fit without an eraser"""
        eraser = Eraser.from_arrays(arrays)
        if eraser is None or "eraser_gene_ids" not in arrays:
            raise RemovalError(
                "this fit holds no eraser: only signal_removal=train, train_projection and quadratic learn a map that new "
                "samples can go through"
            )
        scaling = Preparation(None, arrays.get("eraser_shift"), arrays.get("eraser_factor"))
        return cls(arrays["eraser_gene_ids"], scaling, eraser)

    def apply(self, x: np.ndarray, gene_ids: np.ndarray) -> np.ndarray:
        """New samples as the fit's model would see them: (n_samples, n_genes of the eraser) float32, columns by `gene_ids` of
        the eraser. Labels are not needed.

        :param x: (n_samples, n_genes) float32, in the units of the data the eraser was fitted on
        :param gene_ids: (n_genes,) str, in any order; genes that the eraser does not know are left out
        :raises RemovalError: genes are missing or occur twice, or values are not finite
        """
        known = {str(g): i for i, g in enumerate(gene_ids)}
        if len(known) < len(gene_ids):
            raise RemovalError(
                f"{len(gene_ids) - len(known)} of {len(gene_ids)} gene ids occur twice; make them unique"
            )
        missing = [str(g) for g in self.gene_ids if str(g) not in known]
        if missing:
            raise RemovalError(
                f"the eraser was fitted on {len(self.gene_ids)} genes, and {len(missing)} of them are missing here "
                f"(e.g. {', '.join(missing[:3])}); it cannot be applied to other genes than it was fitted on"
            )
        columns = np.array([known[str(g)] for g in self.gene_ids])
        prepared = self.preparation.apply(np.ascontiguousarray(x[:, columns], dtype=np.float32), np.arange(len(x)))
        return self.eraser.apply(prepared, out=prepared)


def frozen_arrays(removal: Removal, preparation: Preparation, gene_ids: np.ndarray) -> dict[str, np.ndarray]:
    """What `FrozenRemoval.from_arrays` reads; nothing for a removal that learnt no map."""
    arrays = removal.arrays()
    if not arrays:
        return {}
    genes = gene_ids if preparation.genes is None else gene_ids[preparation.genes]
    arrays["eraser_gene_ids"] = np.asarray(genes, dtype=np.str_)
    if preparation.shift is not None and preparation.factor is not None:
        arrays |= {"eraser_shift": preparation.shift, "eraser_factor": preparation.factor}
    return arrays


def erase(record_path: str | Path, expression: str, out: str | Path) -> AnnData:
    """Put the samples of a file through the frozen eraser of a fit and write them as an .h5ad; no labels are needed.

    The file is read as the fit's data were: with the same transform, before the fit's gene selection and scaling.
    :raises ResultsError: no record of a done fit, or `out` cannot be written
    :raises RemovalError: the fit learnt no eraser, or genes are missing
    """
    record, arrays = stored(record_path)
    if arrays is None:
        raise ResultsError(f"{record_path} is no record of a done fit; give another of …/records/??/*.json")
    if Path(out).suffix != ".h5ad":
        raise ResultsError(f"--out {out}: the name must end in .h5ad")
    frozen = FrozenRemoval.from_arrays(arrays)
    dataset = record["config"]["dataset"]
    adata = load_unlabelled(expression, frozen.gene_ids, dataset.get("transform", "none"), dataset.get("gene_lengths"))
    x = frozen.apply(adata.X, adata.var_names.to_numpy())
    erased = AnnData(X=x, obs=adata.obs, var=pd.DataFrame(index=pd.Index(frozen.gene_ids.astype(object))))
    erased.uns["eraser"] = {"record": record["key"], "signal_removal": record["names"]["signal_removal"]}
    with atomic(Path(out)) as temporary:
        erased.write_h5ad(temporary)
    return erased
