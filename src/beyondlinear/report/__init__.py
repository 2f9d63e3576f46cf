"""What a user asks of finished fits: the verdict, figures, tables and one page; predictions for new
samples and the genes that moved them."""

from typing import TYPE_CHECKING

from beyondlinear.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from beyondlinear.report.predict import attribute as attribute
    from beyondlinear.report.predict import erase as erase
    from beyondlinear.report.predict import predict_samples as predict_samples
    from beyondlinear.report.write import write_report as write_report

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "attribute": "predict",
        "erase": "predict",
        "predict_samples": "predict",
        "write_report": "write",
    },
)
