"""The leakage audit: which rows each part of a fit held and each fitted step used
(`row_usage.py`), what is wrong with that (`checks.py`), of one fit or of a store of them
(`stored_fits.py`)."""

from typing import TYPE_CHECKING

from beyondlinear.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from beyondlinear.evaluation.audit.checks import Finding as Finding
    from beyondlinear.evaluation.audit.checks import audit_fit as audit_fit
    from beyondlinear.evaluation.audit.row_usage import RowUsageLog as RowUsageLog
    from beyondlinear.evaluation.audit.stored_fits import audit_paths as audit_paths

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "Finding": "checks",
        "RowUsageLog": "row_usage",
        "audit_fit": "checks",
        "audit_paths": "stored_fits",
    },
)
