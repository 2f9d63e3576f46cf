"""The one path: run → plan → execute → fit, with what each fit needs on its way.

`run.py` and `fit.py` tell the whole story. Beside them: preparation of data sets, nested choice of
hyperparameters, pretraining; `sweeps/` makes many runs.
"""

from typing import TYPE_CHECKING

from beyondlinear.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from beyondlinear.experiment.fit import make_fit as make_fit

__getattr__, __all__ = lazy_exports(__name__, {"make_fit": "fit"})
