"""Trackers, which show a run while it goes on and after: files, TensorBoard, MLflow, Neptune, or
any logger of Lightning. No result depends on one, and none that fails costs a fit."""

from typing import TYPE_CHECKING

from beyondlinear.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from beyondlinear.records.trackers.subject import LogSubject as LogSubject
    from beyondlinear.records.trackers.tracking import Trackers as Trackers

__getattr__, __all__ = lazy_exports(__name__, {"LogSubject": "subject", "Trackers": "tracking"})
