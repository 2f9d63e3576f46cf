"""What is asked, of which samples: classes, folds, controls, and what may spoil the answer."""

from typing import TYPE_CHECKING

from beyondlinear.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from beyondlinear.tasks.duplicates import find_duplicates as find_duplicates
    from beyondlinear.tasks.splits import Fold as Fold
    from beyondlinear.tasks.splits import Parts as Parts
    from beyondlinear.tasks.splits import Splitter as Splitter
    from beyondlinear.tasks.task import Samples as Samples
    from beyondlinear.tasks.task import Task as Task

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "Fold": "splits",
        "Parts": "splits",
        "Samples": "task",
        "Splitter": "splits",
        "Task": "task",
        "find_duplicates": "duplicates",
    },
)
