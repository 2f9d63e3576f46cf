"""Signal removal as a run uses it: what is taken out of which part, when, and whose labels it needs.

A mode may act on all samples before the split (`before_split`), on each part by itself (`remove`), or learn from the fit
part once and be applied, frozen, to every part (`learn`). Whatever it changes, it changes in the array it is given, which
belongs to the run.
"""

import warnings
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from beyondlinear.errors import RemovalError, choices
from beyondlinear.removal.class_means import class_means, remove_class_means, subtract_offsets
from beyondlinear.removal.erasers import Eraser, fit_leace, fit_projection
from beyondlinear.removal.limma import remove_batch_effect
from beyondlinear.removal.quadratic import fit_quadratic
from beyondlinear.tasks import as_words

FEW = 10  # below this many samples a class mean carries much of the samples' own noise

LabelsOf = Literal["nobody", "the fit part", "every part", "all samples"]


@dataclass(frozen=True)
class Rows:
    """Rows that go through removal together: one part of a fit, or all samples.

    x: (n, n_genes) float32, prepared, changed in place; codes, groups: (n,) int64; positions: (n,) in the task's samples;
    obs: their metadata; name: "fit", "tune", "validation", …
    """

    x: np.ndarray
    codes: np.ndarray
    classes: list[str]
    name: str
    positions: np.ndarray
    groups: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    obs: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def where(self) -> str:
        return "the data" if self.name == "all" else f"the {self.name} part"


class Removal:
    """What every mode can be asked; a mode overrides what it needs.

    labels_of: whose labels it reads, which the record and the audit repeat; learns: whether `learn` does anything; thins:
    whether `kept` does; on_rows: whether `remove` is a linear map of the rows it is given, so that inner products can go
    through it as well.
    """

    labels_of: LabelsOf = "every part"  # a mode that does not say is taken for an oracle
    learns = False
    thins = False
    on_rows = False

    def before_split(self, rows: Rows) -> list[str]:
        """Change all samples; returns warnings."""
        return []

    def learn(self, fit: Rows) -> "Removal":
        """What will be applied to every part, learnt from the prepared fit part, which is not changed."""
        return self

    def remove(self, rows: Rows) -> list[str]:
        """Change one part; returns warnings."""
        return []

    def kept(self, rows: Rows) -> np.ndarray | None:
        """(n,) bool, the rows of a part that stay in it; None: all."""
        return None

    def arrays(self) -> dict[str, np.ndarray]:
        """What is kept beside the predictions, to be applied to new samples."""
        return {}


class NoRemoval(Removal):
    """Nothing is removed."""

    labels_of: LabelsOf = "nobody"
    on_rows = True


class SplitRemoval(Removal):
    """limma's removeBatchEffect(part, batch=label) on each part by itself, with the part's own labels (oracle)."""

    labels_of: LabelsOf = "every part"
    on_rows = True

    def remove(self, rows: Rows) -> list[str]:
        return _remove_labels(rows)


class FullRemoval(Removal):
    """limma's removeBatchEffect(all samples, batch=label) before the split: leaks across it, a named bad example."""

    labels_of: LabelsOf = "all samples"
    on_rows = True

    def before_split(self, rows: Rows) -> list[str]:
        return _remove_labels(rows)


class TrainOracleRemoval(Removal):
    """Class means of the fit part, brought to its grand mean; each part loses those of its own rows' labels (oracle)."""

    labels_of: LabelsOf = "every part"
    learns = True

    def __init__(self, offsets: np.ndarray | None = None) -> None:
        self.offsets = offsets

    def learn(self, fit: Rows) -> "TrainOracleRemoval":
        _check_classes(fit)
        fitted = class_means(fit.x, fit.codes, len(fit.classes))
        present = fitted.counts > 0
        grand = fitted.counts[present] @ fitted.means[present] / fitted.counts.sum()
        offsets = np.where(present[:, None], fitted.means - grand, 0.0)
        return TrainOracleRemoval(offsets)

    def remove(self, rows: Rows) -> list[str]:
        assert self.offsets is not None
        subtract_offsets(rows.x, rows.codes, self.offsets, out=rows.x)
        return _few(rows) if rows.name == "fit" else []


class LabelFreeRemoval(Removal):
    """An eraser fitted on the fit part with its labels and applied, frozen, to every part without any: what could be done to
    new samples. conf/signal_removal/train.yaml explains the keys."""

    labels_of: LabelsOf = "the fit part"
    learns = True

    def __init__(
        self,
        method: Literal["leace", "projection", "quadratic"],
        shrinkage: bool = True,
        components: Annotated[int, Field(ge=1)] = 50,
        seed: int = 0,
    ) -> None:
        self.method, self.shrinkage, self.components, self.seed = method, shrinkage, components, seed
        self.eraser: Eraser | None = None

    def learn(self, fit: Rows) -> "LabelFreeRemoval":
        _check_classes(fit)
        learnt = LabelFreeRemoval(self.method, self.shrinkage, self.components, self.seed)
        k = len(fit.classes)
        if self.method == "leace":
            learnt.eraser = fit_leace(fit.x, fit.codes, k, shrinkage=self.shrinkage)
        elif self.method == "projection":
            learnt.eraser = fit_projection(fit.x, fit.codes, k)
        else:
            learnt.eraser = fit_quadratic(fit.x, fit.codes, k, self.components, self.seed)
        return learnt

    def remove(self, rows: Rows) -> list[str]:
        assert self.eraser is not None
        self.eraser.apply(rows.x, out=rows.x)
        return _few(rows) if rows.name == "fit" else []

    def arrays(self) -> dict[str, np.ndarray]:
        return {} if self.eraser is None else self.eraser.arrays()


class StudyRemoval(Removal):
    """limma's removeBatchEffect(part, batch=group, design=label) on each part by itself: what differs between groups goes,
    what differs between classes is kept. conf/signal_removal/study.yaml explains the keys."""

    labels_of: LabelsOf = "every part"

    def __init__(self, column: str | None = None) -> None:
        self.column = column

    def remove(self, rows: Rows) -> list[str]:
        batch = self._batch(rows)
        present, codes = np.unique(rows.codes, return_inverse=True)
        design = np.eye(len(present))[codes]
        if len(np.unique(batch)) < 2:
            raise RemovalError(
                f"study removal is not defined on {rows.where}: all its {len(batch)} samples lie in one group"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            try:
                rows.x[:] = remove_batch_effect(rows.x, batch, design=design)
            except UserWarning as e:
                alone = pd.crosstab(batch, rows.codes).gt(0).sum(axis=1)
                single = [str(g) for g in alone.index[alone == 1]]
                raise RemovalError(
                    f"study removal is not estimable on {rows.where}: groups and classes cannot be told apart, "
                    f"{len(single)} of its {len(alone)} groups hold a single class (e.g. {', '.join(single[:3])}). {e}. "
                    "Use classes that share groups, or another removal"
                ) from e
        return []

    def _batch(self, rows: Rows) -> np.ndarray:
        if self.column is None:
            return rows.groups
        if self.column not in rows.obs.columns:
            raise RemovalError(
                f"signal_removal.column: '{self.column}' is not a column of obs. {choices(self.column, rows.obs.columns)}"
            )
        words = as_words(rows.obs[self.column])
        if words.isna().any():
            raise RemovalError(
                f"signal_removal.column: {int(words.isna().sum())} of {len(words)} samples of {rows.where} have no "
                f"'{self.column}'; fill the column or choose another"
            )
        return words.to_numpy()


def _remove_labels(rows: Rows) -> list[str]:
    counts = _check_classes(rows)
    remove_class_means(rows.x, rows.codes, len(rows.classes), out=rows.x)
    absent = [c for c, n in zip(rows.classes, counts, strict=True) if n == 0]
    said = _few(rows)
    if absent:
        said.append(
            f"{rows.where} has no sample of {', '.join(absent)}: its common level is the mean over fewer classes than "
            "elsewhere, so that its samples are shifted against the other parts"
        )
    return said


def _check_classes(rows: Rows) -> np.ndarray:
    """(n_classes,) samples of each class; refuses rows whose class means cannot be told apart or are single samples."""
    classes, counts = rows.classes, np.bincount(rows.codes, minlength=len(rows.classes))
    present = np.flatnonzero(counts)
    if len(present) < 2:
        raise RemovalError(
            f"signal removal is not defined on {rows.where}: it holds only class '{classes[present[0]]}' ({counts.sum()} "
            "samples), and a class mean can only be moved against another's; choose a split whose parts hold at least two "
            "classes"
        )
    single = [classes[c] for c in present if counts[c] < 2]
    if single:
        raise RemovalError(
            f"signal removal is not defined on {rows.where}: class {', '.join(map(repr, single))} has 1 sample there, which "
            "would be set to the common level exactly; at least 2 are needed (10 advised)"
        )
    return counts


def _few(rows: Rows) -> list[str]:
    counts = np.bincount(rows.codes, minlength=len(rows.classes))
    few = [f"{c} {n}" for c, n in zip(rows.classes, counts, strict=True) if 0 < n < FEW]
    return (
        [f"signal removal rests on fewer than {FEW} samples of a class in {rows.where}: {', '.join(few)}"]
        if few
        else []
    )
