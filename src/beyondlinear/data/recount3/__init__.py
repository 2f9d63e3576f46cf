"""recount3: which runs there are, their studies' coverage, as TPM in a prepared store."""

from typing import TYPE_CHECKING

from beyondlinear.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from beyondlinear.data.recount3.source import Recount3 as Recount3

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "Recount3": "source",
    },
)
