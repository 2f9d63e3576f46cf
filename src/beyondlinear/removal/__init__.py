"""What signal removal does to rows: class means equalised, directions erased, samples matched.

`modes` holds what a run can choose (signal_removal=…); the other modules hold the algorithms.
"""

from typing import TYPE_CHECKING

from beyondlinear.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from beyondlinear.removal.class_means import remove_class_means as remove_class_means
    from beyondlinear.removal.erasers import Eraser as Eraser
    from beyondlinear.removal.erasers import fit_leace as fit_leace
    from beyondlinear.removal.erasers import fit_projection as fit_projection
    from beyondlinear.removal.frozen import FrozenRemoval as FrozenRemoval
    from beyondlinear.removal.limma import remove_batch_effect as remove_batch_effect
    from beyondlinear.removal.matching import MatchingRemoval as MatchingRemoval
    from beyondlinear.removal.modes import NoRemoval as NoRemoval
    from beyondlinear.removal.modes import Removal as Removal
    from beyondlinear.removal.modes import Rows as Rows

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "Eraser": "erasers",
        "FrozenRemoval": "frozen",
        "MatchingRemoval": "matching",
        "NoRemoval": "modes",
        "Removal": "modes",
        "Rows": "modes",
        "fit_leace": "erasers",
        "fit_projection": "erasers",
        "remove_batch_effect": "limma",
        "remove_class_means": "class_means",
    },
)
