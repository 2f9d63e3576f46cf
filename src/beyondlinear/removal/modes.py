"""Signal removal as a run uses it: what is taken out of which part, when, and whose labels it
needs.

A mode may act on all samples before the split (`before_split`), on each part by itself
(`transform`), or learn from the train part once and be applied, frozen, to every part (`fit`).
Whatever it changes, it changes in the array it is given, which belongs to the run.
"""

import warnings
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from beyondlinear.data.obs import as_words
from beyondlinear.removal.class_means import class_means, remove_class_means, subtract_offsets
from beyondlinear.removal.erasers import Eraser, fit_leace, fit_projection
from beyondlinear.removal.limma import remove_batch_effect
from beyondlinear.removal.quadratic import fit_quadratic
from beyondlinear.runtime.errors import RemovalError, choices

FEW = 10  # below this many samples a class mean carries much of the samples' own noise

LabelsOf = Literal["nobody", "the train part", "every part", "all samples"]


@dataclass(frozen=True)
class Rows:
    """Rows that go through removal together: one part of a fit, or all samples.

    x: (n, n_genes) float32, prepared, changed in place; codes, groups: (n,) int64; positions: (n,)
    in the task's samples; obs: their metadata; name: "train", "validation", "test", …
    """

    x: np.ndarray
    codes: np.ndarray
    classes: list[str]
    name: str
    positions: np.ndarray
    groups: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    obs: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def description(self) -> str:
        """For messages: "the train part"."""
        return "the data" if self.name == "all" else f"the {self.name} part"


class Removal:
    """What every mode can be asked; a mode overrides what it needs, and states what it is.

    labels_of: whose labels it reads, which the record and the audit repeat; removes: whether it
    does anything at all; learns: whether `fit` does; thins: whether `rows_to_keep` does; on_rows:
    whether `transform` is a linear map of the rows it is given, so that inner products can go
    through it as well.
    """

    labels_of: LabelsOf = "every part"  # a mode that does not say is taken for an oracle
    removes = True
    learns = False
    thins = False
    on_rows = False

    def before_split(self, rows: Rows) -> list[str]:
        """Change all samples; returns warnings."""
        return []

    def fit(self, train: Rows) -> "Removal":
        """What will be applied to every part, learnt from the prepared train part, which is not
        changed."""
        return self

    def transform(self, rows: Rows) -> list[str]:
        """Change one part; returns warnings."""
        return []

    def rows_to_keep(self, rows: Rows) -> np.ndarray | None:
        """(n,) bool, the rows of a part that stay in it; None: all."""
        return None

    def arrays(self) -> dict[str, np.ndarray]:
        """What is stored beside the predictions, to be applied to new samples."""
        return {}


class NoRemoval(Removal):
    """Nothing is removed."""

    labels_of: LabelsOf = "nobody"
    removes = False
    on_rows = True


class ClassMeansRemoval(Removal):
    """limma's removeBatchEffect(part, batch=label) on each part by itself, with the part's own
    labels (oracle)."""

    labels_of: LabelsOf = "every part"
    on_rows = True

    def transform(self, rows: Rows) -> list[str]:
        return _equalise_class_means(rows)


class ClassMeansBeforeSplitRemoval(Removal):
    """limma's removeBatchEffect(all samples, batch=label) before the split: leaks across it, a
    named bad example."""

    labels_of: LabelsOf = "all samples"
    on_rows = True

    def before_split(self, rows: Rows) -> list[str]:
        return _equalise_class_means(rows)


class TrainOracleRemoval(Removal):
    """Class means of the train part, brought to its grand mean; each part loses those of its own
    rows' labels (oracle)."""

    labels_of: LabelsOf = "every part"
    learns = True

    def __init__(self, offsets: np.ndarray | None = None) -> None:
        self.offsets = offsets

    def fit(self, train: Rows) -> "TrainOracleRemoval":
        _check_classes(train)
        fitted = class_means(train.x, train.codes, len(train.classes))
        present = fitted.counts > 0
        grand_mean = fitted.counts[present] @ fitted.means[present] / fitted.counts.sum()
        offsets = np.where(present[:, None], fitted.means - grand_mean, 0.0)
        return TrainOracleRemoval(offsets)

    def transform(self, rows: Rows) -> list[str]:
        assert self.offsets is not None
        subtract_offsets(rows.x, rows.codes, self.offsets, out=rows.x)
        return _few_samples_warnings(rows) if rows.name == "train" else []


class LabelFreeRemoval(Removal):
    """An eraser fitted on the train part with its labels and applied, frozen, to every part without
    any: what could be done to new samples. conf/signal_removal/leace.yaml explains the keys."""

    labels_of: LabelsOf = "the train part"
    learns = True

    def __init__(
        self,
        method: Literal["leace", "projection", "quadratic"],
        shrinkage: bool = True,
        components: Annotated[int, Field(ge=1)] = 50,
        seed: int = 0,
    ) -> None:
        self.method = method
        self.shrinkage = shrinkage
        self.components = components
        self.seed = seed
        self.eraser: Eraser | None = None

    def fit(self, train: Rows) -> "LabelFreeRemoval":
        _check_classes(train)
        n_classes = len(train.classes)
        fitted = LabelFreeRemoval(self.method, self.shrinkage, self.components, self.seed)
        if self.method == "leace":
            fitted.eraser = fit_leace(train.x, train.codes, n_classes, shrinkage=self.shrinkage)
        elif self.method == "projection":
            fitted.eraser = fit_projection(train.x, train.codes, n_classes)
        else:
            fitted.eraser = fit_quadratic(
                train.x, train.codes, n_classes, self.components, self.seed
            )
        return fitted

    def transform(self, rows: Rows) -> list[str]:
        assert self.eraser is not None
        self.eraser.apply(rows.x, out=rows.x)
        return _few_samples_warnings(rows) if rows.name == "train" else []

    def arrays(self) -> dict[str, np.ndarray]:
        return {} if self.eraser is None else self.eraser.arrays()


class StudyRemoval(Removal):
    """limma's removeBatchEffect(part, batch=group, design=label) on each part by itself: what
    differs between groups goes, what differs between classes is kept.
    conf/signal_removal/study.yaml explains the keys."""

    labels_of: LabelsOf = "every part"

    def __init__(self, column: str | None = None) -> None:
        self.column = column

    def transform(self, rows: Rows) -> list[str]:
        batch = self._batch(rows)
        present, codes = np.unique(rows.codes, return_inverse=True)
        design = np.eye(len(present))[codes]
        if len(np.unique(batch)) < 2:
            raise RemovalError(
                f"study removal is not defined on {rows.description}: all its {len(batch)} samples"
                " lie in one group"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            try:
                rows.x[:] = remove_batch_effect(rows.x, batch, design=design)
            except UserWarning as e:
                alone = pd.crosstab(batch, rows.codes).gt(0).sum(axis=1)
                single = [str(g) for g in alone.index[alone == 1]]
                raise RemovalError(
                    f"study removal is not estimable on {rows.description}: groups and classes"
                    f" cannot be told apart, {len(single)} of its {len(alone)} groups hold a single"
                    f" class (e.g. {', '.join(single[:3])}). {e}. Use classes that share groups, or"
                    " another removal"
                ) from e
        return []

    def _batch(self, rows: Rows) -> np.ndarray:
        if self.column is None:
            return rows.groups
        if self.column not in rows.obs.columns:
            raise RemovalError(
                f"signal_removal.column: '{self.column}' is not a column of obs."
                f" {choices(self.column, rows.obs.columns)}"
            )
        words = as_words(rows.obs[self.column])
        if words.isna().any():
            raise RemovalError(
                f"signal_removal.column: {int(words.isna().sum())} of {len(words)} samples of"
                f" {rows.description} have no '{self.column}'; fill the column or choose another"
            )
        return words.to_numpy()


def _equalise_class_means(rows: Rows) -> list[str]:
    counts = _check_classes(rows)
    remove_class_means(rows.x, rows.codes, len(rows.classes), out=rows.x)
    absent = [c for c, n in zip(rows.classes, counts, strict=True) if n == 0]
    warnings = _few_samples_warnings(rows)
    if absent:
        warnings.append(
            f"{rows.description} has no sample of {', '.join(absent)}: its common level is the mean"
            " over fewer classes than elsewhere, so that its samples are shifted against the other"
            " parts"
        )
    return warnings


def _check_classes(rows: Rows) -> np.ndarray:
    """(n_classes,) samples of each class; refuses rows whose class means cannot be told apart or
    are single samples."""
    classes = rows.classes
    counts = np.bincount(rows.codes, minlength=len(classes))
    present = np.flatnonzero(counts)
    if len(present) < 2:
        raise RemovalError(
            f"signal removal is not defined on {rows.description}: it holds only class"
            f" '{classes[present[0]]}' ({counts.sum()} samples), and a class mean can only be moved"
            " against another's; choose a split whose parts hold at least two classes"
        )
    single = [classes[c] for c in present if counts[c] < 2]
    if single:
        raise RemovalError(
            f"signal removal is not defined on {rows.description}: class"
            f" {', '.join(map(repr, single))} has 1 sample there, which would be set to the common"
            " level exactly; at least 2 are needed (10 advised)"
        )
    return counts


def _few_samples_warnings(rows: Rows) -> list[str]:
    counts = np.bincount(rows.codes, minlength=len(rows.classes))
    few = few_samples(rows.classes, counts)
    if not few:
        return []
    return [
        f"signal removal rests on fewer than {FEW} samples of a class in {rows.description}: {few}"
    ]


def few_samples(classes: list[str], counts: np.ndarray) -> str:
    """The classes with fewer than FEW samples but some, e.g. "Lung 7, Skin 3"."""
    named = zip(classes, counts, strict=True)
    return ", ".join(f"{name} {n}" for name, n in named if 0 < n < FEW)
