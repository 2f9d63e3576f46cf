"""The user's own tables of expression and of samples, in any of the usual formats."""

from typing import TYPE_CHECKING

from beyondlinear.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from beyondlinear.data.user_files.source import load as load
    from beyondlinear.data.user_files.source import load_unlabelled as load_unlabelled

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "load": "source",
        "load_unlabelled": "source",
    },
)
