"""Folds, fractions, train and validation parts, made from groups; each is checked before it is
used.

A splitter of our own: scikit-learn's StratifiedGroupKFold can give empty folds, and nothing there
makes nested fractions or promises every class on both sides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from beyondlinear.runtime.errors import ConfigError, SplitError
from beyondlinear.runtime.seeds import stream
from beyondlinear.tasks.fold_column import folds_of_column
from beyondlinear.tasks.group_assignment import assign
from beyondlinear.tasks.sample_groups import OnMissingGroup, connected_groups, group_name
from beyondlinear.tasks.task import Samples

Share = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class Fold:
    """One fold: row numbers of the training and the test part; `held_out` names what the latter
    holds.

    pretraining: rows of groups that only pretrain; None where nothing does.
    """

    number: int
    train: np.ndarray
    test: np.ndarray
    held_out: str = ""
    pretraining: np.ndarray | None = None

    def parts(self) -> dict[str, np.ndarray]:
        """Row numbers by the name of the part."""
        parts = {"training": self.train, "test": self.test}
        if self.pretraining is not None:
            parts["pretraining"] = self.pretraining
        return parts


@dataclass(frozen=True)
class Parts:
    """Row numbers of one fit. `validation` is empty where the training part is too small for
    one."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Splitter:
    """How outer folds are made from groups, and train and validation parts within them. conf/split/
    explains the keys."""

    group: str | list[str] | None = None
    column: str | None = None
    folds: Annotated[int, Field(ge=2)] | None = None
    pretrain_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    fractions: Annotated[Sequence[Share], Field(min_length=1)] = (1.0,)
    validation_share: Annotated[float, Field(ge=0, lt=1)] = 0.2
    only_folds: Annotated[list[int], Field(min_length=1)] | None = None
    on_missing_group: OnMissingGroup = "error"

    def groups(self, obs: pd.DataFrame, needed: np.ndarray | None = None) -> np.ndarray:
        """(n_samples,) group number of each sample: connected components over the values of the
        group columns.

        A value "a;b" puts a sample into both groups a and b, which then are one.
        :param needed: (n_samples,) bool, samples that must have a group (those with a label); None:
            all
        :raises SplitError: unknown column, or samples without a group
        """
        columns = [self.group] if isinstance(self.group, str) else list(self.group or [])
        return connected_groups(obs, columns, needed, self.on_missing_group)

    def outer(self, samples: Samples, seed: int) -> list[Fold]:
        """The outer folds, stratified by label and balanced by sample count.

        :raises SplitError: fewer groups than folds, an unknown fold, or a fold column that tears a
            group apart
        """
        groups = samples.groups
        names: dict[int, str] = {}
        if self.column is not None:
            bins, names = folds_of_column(samples, self.column, self.group)
        elif self.folds is None:
            if self.group is None:
                raise ConfigError(
                    "split.folds: null leaves one group out, but split=sample has no groups;"
                    " give a number of folds"
                )
            bins = groups
            for g in np.unique(groups):
                names[int(g)] = group_name(samples.obs, self.group, groups == g)
        else:
            n_groups = len(np.unique(groups))
            if n_groups < self.folds:
                raise SplitError(
                    f"split.folds: {self.folds} folds need at least {self.folds} groups;"
                    f" there are {n_groups} (split.group={self.group})."
                    " Use fewer folds, or split.folds=null to leave one group out"
                )
            shares = np.full(self.folds, 1 / self.folds)
            random = stream(seed, "folds")
            bins = assign(groups, samples.strata_or_codes, len(samples.classes), shares, random)
        numbers = [int(b) for b in np.unique(bins) if b >= 0]
        if len(numbers) < 2:
            raise SplitError(f"split: {len(numbers)} fold was made; at least 2 are needed")
        wanted = numbers if self.only_folds is None else list(dict.fromkeys(self.only_folds))
        for number in wanted:
            if number not in numbers:
                raise SplitError(
                    f"split.only_folds: there is no fold {number};"
                    f" folds are {numbers[0]} to {numbers[-1]}"
                )
        folds = []
        for number in wanted:
            pretrains = self._pretraining(bins, numbers, number)
            fold = Fold(
                number,
                train=np.flatnonzero((bins != number) & ~pretrains),
                test=np.flatnonzero(bins == number),
                held_out=names.get(number, ""),
                pretraining=None if self.pretrain_share is None else np.flatnonzero(pretrains),
            )
            _check_apart(groups, fold.parts())
            folds.append(fold)
        return folds

    def _pretraining(self, bins: np.ndarray, numbers: list[int], held_out: int) -> np.ndarray:
        """(n_samples,) bool: the bins that follow the one held out, as many as pretrain_share asks
        for."""
        if self.pretrain_share is None:
            return np.zeros(len(bins), dtype=bool)
        count = round(self.pretrain_share * len(numbers))
        if not 1 <= count <= len(numbers) - 2:
            raise ConfigError(
                f"split.pretrain_share: {self.pretrain_share} of {len(numbers)} folds is {count};"
                " at least one fold must pretrain, one train and one validate"
            )
        first = numbers.index(held_out) + 1
        pretraining = [numbers[(first + i) % len(numbers)] for i in range(count)]
        return np.isin(bins, pretraining)

    def inner(self, samples: Samples, fold: Fold, fraction: float, seed: int) -> Parts:
        """The parts of one fit: `fraction` of the training samples, split by group into train and
        validation.

        A smaller fraction is a subset of a larger one. The validation part is left out where it
        would hold fewer than two samples per class on average.
        :raises SplitError: a class that cannot be in both train and validation
        """
        rows = self.rows_of_fraction(samples, fold, fraction, seed)
        train, validation = self.train_and_validation(
            samples, rows, seed, fold.number, float(fraction)
        )
        _check_apart(samples.groups, {"train": train, "validation": validation, "test": fold.test})
        return Parts(train, validation, fold.test)

    def rows_of_fraction(
        self, samples: Samples, fold: Fold, fraction: float, seed: int
    ) -> np.ndarray:
        """The rows of the training part that `fraction` keeps."""
        random = stream(seed, "fraction", fold.number)
        return _nested(fold.train, samples.codes, fraction, random)

    def inner_folds(
        self, samples: Samples, rows: np.ndarray, n_folds: int, seed: int, *keys: int | float | str
    ) -> list[Fold]:
        """Folds within the given rows, by group, for choosing hyperparameters.

        :param keys: what these folds belong to; the same keys give the same folds
        :raises SplitError: fewer groups than folds
        """
        n_groups = len(np.unique(samples.groups[rows]))
        if n_groups < n_folds:
            raise SplitError(
                f"tuning.inner_folds: {n_folds} inner folds need at least {n_folds} groups;"
                f" the {len(rows)} training samples lie in {n_groups}"
            )
        shares = np.full(n_folds, 1 / n_folds)
        random = stream(seed, "inner folds", *keys)
        groups = samples.groups[rows]
        bins = assign(groups, samples.codes[rows], len(samples.classes), shares, random)
        folds = [Fold(b, train=rows[bins != b], test=rows[bins == b]) for b in range(n_folds)]
        for fold in folds:
            _check_apart(samples.groups, fold.parts())
        return folds

    def train_and_validation(
        self, samples: Samples, rows: np.ndarray, seed: int, *keys: int | float | str
    ) -> tuple[np.ndarray, np.ndarray]:
        """The given rows, split by group into train and validation; validation is empty where it
        would hold fewer than two samples per class on average.

        :raises SplitError: a class that cannot be in both
        """
        n_classes = len(samples.classes)
        codes, groups = samples.codes[rows], samples.groups[rows]
        if self.validation_share * len(rows) < 2 * n_classes:
            train = rows
            validation = rows[:0]
        else:
            shares = np.array([1 - self.validation_share, self.validation_share])
            # the name of this stream is older than that of the part; another would split anew
            side = assign(groups, codes, n_classes, shares, stream(seed, "tune", *keys))
            train = rows[side == 0]
            validation = rows[side == 1]
        parts = {"train": train, "validation": validation}
        _check_apart(samples.groups, parts)
        for name, part in parts.items():
            n_of_class = np.bincount(samples.codes[part], minlength=n_classes)
            may_be_empty = name == "validation" and not len(part)
            if n_of_class.all() or may_be_empty:
                continue
            c = int(np.argmin(n_of_class))
            n_kept_of_class = int((codes == c).sum())
            n_of_class_in_all = int((samples.codes == c).sum())
            n_groups = len(np.unique(groups[codes == c]))
            raise SplitError(
                f"class '{samples.classes[c]}' is missing from the {name} part:"
                f" the {len(rows)} samples kept for training have {n_kept_of_class} of its"
                f" {n_of_class_in_all} samples, in {n_groups} group{'' if n_groups == 1 else 's'}."
                " task.min_groups_per_class or task.classes leaves such a class out"
            )
        return train, validation


def n_kept(n_samples: int, fraction: float) -> int:
    """How many of so many training samples a fraction keeps: at least one."""
    return max(1, round(fraction * n_samples))


def _nested(
    rows: np.ndarray, codes: np.ndarray, fraction: float, rng: np.random.Generator
) -> np.ndarray:
    """The first `fraction` of one stratified random order of the rows; each class comes in by its
    first sample at once."""
    if fraction == 1:
        return rows
    shuffled = rows[rng.permutation(len(rows))]
    classes = pd.Series(codes[shuffled])
    number_in_class = classes.groupby(classes).cumcount()
    class_size = classes.map(classes.value_counts())
    share_before = number_in_class / class_size  # of the samples of its class, those before it
    order = np.argsort(share_before.to_numpy(), kind="stable")
    kept = order[: n_kept(len(rows), fraction)]
    return np.sort(shuffled[kept])


def _check_apart(groups: np.ndarray, parts: dict[str, np.ndarray]) -> None:
    """Post-condition of every split: no group, hence no sample, in two parts."""
    seen: dict[int, str] = {}
    for name, rows in parts.items():
        for g in np.unique(groups[rows]):
            if g in seen:
                raise SplitError(
                    f"group {g} is in both the {seen[g]} and the {name} part:"
                    " the split is not valid"
                )
            seen[int(g)] = name
