"""The residual-prediction test: is there signal that the certified linear model cannot use?

`test.py` is the test on arrays, `scores.py` and `learners.py` are what it searches the residuals
with, `run.py` makes it on the samples of a config.
"""

from typing import TYPE_CHECKING

from beyondlinear.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from beyondlinear.evaluation.residual_test.test import ResidualTest as ResidualTest

__getattr__, __all__ = lazy_exports(__name__, {"ResidualTest": "test"})
