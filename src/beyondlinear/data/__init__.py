"""Expression matrices and what is known of their samples: read, prepared on disk, checked, scaled.

Each kind of source has a folder of its own (`recount3`, `simulated`, `user_files`; GTEx is `gtex`),
and `download` fetches the files of public data. What comes out is an AnnData: X (n_samples,
n_genes) float32, obs, var.
"""

from typing import TYPE_CHECKING

from beyondlinear.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from beyondlinear.data.gtex import Gtex as Gtex
    from beyondlinear.data.scaled_rows import ScaledRows as ScaledRows
    from beyondlinear.data.scaling import Preparation as Preparation
    from beyondlinear.data.scaling import fit_preparation as fit_preparation
    from beyondlinear.data.store import ExpressionStore as ExpressionStore
    from beyondlinear.data.transforms import transform as transform

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "ExpressionStore": "store",
        "Gtex": "gtex",
        "Preparation": "scaling",
        "ScaledRows": "scaled_rows",
        "fit_preparation": "scaling",
        "transform": "transforms",
    },
)
