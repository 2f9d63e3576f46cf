"""Files from mirrors of public data: resumed, checked and tried again, many at once."""

from typing import TYPE_CHECKING

from beyondlinear.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from beyondlinear.data.download.mirrors import Mirrors as Mirrors
    from beyondlinear.data.download.mirrors import MissingFileError as MissingFileError
    from beyondlinear.data.download.parallel import fetch_all as fetch_all

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "Mirrors": "mirrors",
        "MissingFileError": "mirrors",
        "fetch_all": "parallel",
    },
)
