"""Signal removal as a run uses it: what is taken out of which part, and when.

Every mode has the same two doors. `before_split` sees all samples of the task; `remove` sees one part of a fit. Both
change the array they are given, which belongs to the run.
"""

from typing import Protocol

import numpy as np

from beyondlinear.errors import RemovalError
from beyondlinear.removal.class_means import remove_class_means

FEW = 10  # below this many samples a class mean carries much of the samples' own noise


class Removal(Protocol):
    # True where `remove` is a linear map of the rows it is given: inner products can then go through it as well
    on_rows: bool

    def before_split(self, x: np.ndarray, codes: np.ndarray, classes: list[str]) -> list[str]:
        """Change all samples in place; returns warnings."""

    def remove(self, x: np.ndarray, codes: np.ndarray, classes: list[str], part: str) -> list[str]:
        """Change one part in place; returns warnings."""


class NoRemoval:
    """Nothing is removed."""

    on_rows = True

    def before_split(self, x: np.ndarray, codes: np.ndarray, classes: list[str]) -> list[str]:
        return []

    def remove(self, x: np.ndarray, codes: np.ndarray, classes: list[str], part: str) -> list[str]:
        return []


class SplitRemoval:
    """limma's removeBatchEffect(part, batch=label) on each part by itself, with the part's own labels (oracle)."""

    on_rows = True

    def before_split(self, x: np.ndarray, codes: np.ndarray, classes: list[str]) -> list[str]:
        return []

    def remove(self, x: np.ndarray, codes: np.ndarray, classes: list[str], part: str) -> list[str]:
        return _remove_labels(x, codes, classes, f"the {part} part")


class FullRemoval:
    """limma's removeBatchEffect(all samples, batch=label) before the split: leaks across it, a named bad example."""

    on_rows = True

    def before_split(self, x: np.ndarray, codes: np.ndarray, classes: list[str]) -> list[str]:
        return _remove_labels(x, codes, classes, "the data")

    def remove(self, x: np.ndarray, codes: np.ndarray, classes: list[str], part: str) -> list[str]:
        return []


def _remove_labels(x: np.ndarray, codes: np.ndarray, classes: list[str], where: str) -> list[str]:
    counts = np.bincount(codes, minlength=len(classes))
    present = np.flatnonzero(counts)
    if len(present) < 2:
        raise RemovalError(
            f"signal removal is not defined on {where}: it holds only class '{classes[present[0]]}' ({counts.sum()} samples), "
            "and a class mean can only be moved against another's; choose a split whose parts hold at least two classes"
        )
    single = [classes[c] for c in present if counts[c] < 2]
    if single:
        raise RemovalError(
            f"signal removal is not defined on {where}: class {', '.join(map(repr, single))} has 1 sample there, which "
            "would be set to the common level exactly; at least 2 are needed (10 advised)"
        )
    remove_class_means(x, codes, len(classes), out=x)
    few = [f"{classes[c]} {counts[c]}" for c in present if counts[c] < FEW]
    absent = [c for c, n in zip(classes, counts, strict=True) if n == 0]
    warnings = (
        [f"signal removal rests on fewer than {FEW} samples of a class in {where}: {', '.join(few)}"] if few else []
    )
    if absent:
        warnings.append(
            f"{where} has no sample of {', '.join(absent)}: its common level is the mean over fewer classes than elsewhere, so "
            "that its samples are shifted against the other parts"
        )
    return warnings
