"""What a fit is worth: metrics, leak probes, excess over controls; the residual-prediction test
(`residual_test/`) and the leakage audit (`audit/`).

It is given what it judges and knows nothing of how a run makes it.
"""

from typing import TYPE_CHECKING

from beyondlinear.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from beyondlinear.evaluation.metrics import evaluate as evaluate
    from beyondlinear.evaluation.score_fit import score_fit as score_fit

__getattr__, __all__ = lazy_exports(
    __name__,
    {"evaluate": "metrics", "score_fit": "score_fit"},
)
