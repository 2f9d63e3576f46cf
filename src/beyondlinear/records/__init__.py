"""What is kept of fits: the record of each, the store they lie in, tables made of them.

`record.py` names every field of a record and `keys.py` says what determines a fit. Records of
earlier versions are read through `upgrade.py`. Trackers, which are told what a run does, have a
folder of their own.
"""

from typing import TYPE_CHECKING

from beyondlinear.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from beyondlinear.records.gather import gather as gather
    from beyondlinear.records.keys import fit_key as fit_key
    from beyondlinear.records.record import FitRecord as FitRecord
    from beyondlinear.records.saved_model import SavedModel as SavedModel
    from beyondlinear.records.store import RecordStore as RecordStore
    from beyondlinear.records.store import load_record as load_record

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "FitRecord": "record",
        "RecordStore": "store",
        "SavedModel": "saved_model",
        "fit_key": "keys",
        "gather": "gather",
        "load_record": "store",
    },
)
