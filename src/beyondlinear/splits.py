"""Folds, fractions, fit and tune parts, made from groups; each is checked before it is used.

A splitter of our own: scikit-learn's StratifiedGroupKFold can give empty folds, and nothing there makes nested fractions
or promises every class on both sides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from beyondlinear.balance import assign
from beyondlinear.errors import ConfigError, SplitError, choices
from beyondlinear.seeds import stream
from beyondlinear.tasks import Samples, as_words

Share = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class Fold:
    """One fold: row numbers of the training and the validation part; `held_out` names what the latter holds.

    pretraining: rows of groups that only pretrain; None where nothing does.
    """

    number: int
    train: np.ndarray
    validation: np.ndarray
    held_out: str = ""
    pretraining: np.ndarray | None = None

    def parts(self) -> dict[str, np.ndarray]:
        parts = {"training": self.train, "validation": self.validation}
        return parts | ({"pretraining": self.pretraining} if self.pretraining is not None else {})


@dataclass(frozen=True)
class Parts:
    """Row numbers of one fit. `tune` is empty where the training part is too small for one."""

    fit: np.ndarray
    tune: np.ndarray
    validation: np.ndarray


@dataclass(frozen=True)
class Splitter:
    """How outer folds are made from groups, and fit and tune parts within them. conf/split/ explains the keys."""

    group: str | list[str] | None = None
    column: str | None = None
    folds: Annotated[int, Field(ge=2)] | None = None
    pretrain_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    fractions: Annotated[Sequence[Share], Field(min_length=1)] = (1.0,)
    tune_share: Annotated[float, Field(ge=0, lt=1)] = 0.2
    only_folds: Annotated[list[int], Field(min_length=1)] | None = None
    on_missing_group: Literal["error", "own_group"] = "error"

    def groups(self, obs: pd.DataFrame, needed: np.ndarray | None = None) -> np.ndarray:
        """(n_samples,) group number of each sample: connected components over the values of the group columns.

        A value "a;b" puts a sample into both groups a and b, which then are one.
        :param needed: (n_samples,) bool, samples that must have a group (those with a label); None: all
        :raises SplitError: unknown column, or samples without a group
        """
        columns = [self.group] if isinstance(self.group, str) else list(self.group or [])
        n = len(obs)
        samples, values = [np.arange(n)], [np.arange(n)]  # every sample is its own value, so none is left out
        offset = n
        for column in columns:
            if column not in obs.columns:
                raise SplitError(f"split.group: '{column}' is not a column of obs. {choices(column, obs.columns)}")
            words = as_words(obs[column])
            missing = words.fillna("").str.fullmatch(r"[;\s]*").to_numpy(dtype=bool)
            if needed is not None:
                missing &= needed
            if missing.any() and self.on_missing_group == "error":
                raise SplitError(
                    f"split.group: {missing.sum():,} of {n:,} samples have no '{column}' "
                    f"(e.g. {', '.join(map(str, obs.index[missing][:3]))}); fill the column, or take each such sample as a "
                    "group of its own with split.on_missing_group=own_group"
                )
            several = words.dropna().str.split(";").explode().str.strip()
            several = several[several != ""]
            position = pd.Series(np.arange(n), index=obs.index)
            codes, uniques = pd.factorize(several)
            # row positions, not labels: obs ids are unique but exploded ones repeat
            samples.append(position.loc[several.index].to_numpy())
            values.append(codes + offset)
            offset += len(uniques)
        row, col = np.concatenate(samples), np.concatenate(values)
        graph = coo_array((np.ones(len(row), dtype=np.int8), (row, col)), shape=(offset, offset))
        labels = connected_components(graph, directed=False)[1][:n]
        return np.unique(labels, return_inverse=True)[1].astype(np.int64)

    def outer(self, samples: Samples, seed: int) -> list[Fold]:
        """The outer folds, stratified by label and balanced by sample count.

        :raises SplitError: fewer groups than folds, an unknown fold, or a fold column that tears a group apart
        """
        groups = samples.groups
        names: dict[int, str] = {}
        if self.column is not None:
            bins, names = self._folds_of_column(samples)
        elif self.folds is None:
            if self.group is None:
                raise ConfigError(
                    "split.folds: null leaves one group out, but split=sample has no groups; give a number of folds"
                )
            bins = groups
            names = {int(g): _group_name(samples.obs, self.group, groups == g) for g in np.unique(groups)}
        else:
            n_groups = len(np.unique(groups))
            if n_groups < self.folds:
                raise SplitError(
                    f"split.folds: {self.folds} folds need at least {self.folds} groups; there are {n_groups} "
                    f"(split.group={self.group}). Use fewer folds, or split.folds=null to leave one group out"
                )
            shares = np.full(self.folds, 1 / self.folds)
            bins = assign(groups, samples.strata_or_codes, len(samples.classes), shares, stream(seed, "folds"))
        numbers = [int(b) for b in np.unique(bins) if b >= 0]
        if len(numbers) < 2:
            raise SplitError(f"split: {len(numbers)} fold was made; at least 2 are needed")
        for f in self.only_folds or []:
            if f not in numbers:
                raise SplitError(f"split.only_folds: there is no fold {f}; folds are {numbers[0]} to {numbers[-1]}")
        folds = []
        for b in numbers if self.only_folds is None else dict.fromkeys(self.only_folds):
            first = self._pretraining(bins, numbers, b)
            train = np.flatnonzero((bins != b) & ~first)
            pretraining = np.flatnonzero(first) if self.pretrain_share is not None else None
            fold = Fold(b, train, np.flatnonzero(bins == b), names.get(b, ""), pretraining)
            _check_apart(groups, fold.parts())
            folds.append(fold)
        return folds

    def _pretraining(self, bins: np.ndarray, numbers: list[int], held_out: int) -> np.ndarray:
        """(n_samples,) bool: the bins that follow the one held out, as many as pretrain_share asks for."""
        if self.pretrain_share is None:
            return np.zeros(len(bins), dtype=bool)
        count = round(self.pretrain_share * len(numbers))
        if not 1 <= count <= len(numbers) - 2:
            raise ConfigError(
                f"split.pretrain_share: {self.pretrain_share} of {len(numbers)} folds is {count}; at least one fold must "
                "pretrain, one train and one validate"
            )
        at = numbers.index(held_out)
        return np.isin(bins, [numbers[(at + 1 + i) % len(numbers)] for i in range(count)])

    def inner(self, samples: Samples, fold: Fold, fraction: float, seed: int) -> Parts:
        """The parts of one fit: `fraction` of the training samples, split by group into fit and tune.

        A smaller fraction is a subset of a larger one. The tune part is left out where it would hold fewer than two
        samples per class on average.
        :raises SplitError: a class that cannot be in both fit and tune
        """
        rows = self.kept(samples, fold, fraction, seed)
        fit, tune = self.fit_and_tune(samples, rows, seed, fold.number, float(fraction))
        _check_apart(samples.groups, {"fit": fit, "tune": tune, "validation": fold.validation})
        return Parts(fit, tune, fold.validation)

    def kept(self, samples: Samples, fold: Fold, fraction: float, seed: int) -> np.ndarray:
        """The rows of the training part that `fraction` keeps."""
        return _nested(fold.train, samples.codes, fraction, stream(seed, "fraction", fold.number))

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
                f"tuning.inner_folds: {n_folds} inner folds need at least {n_folds} groups; the {len(rows)} training samples "
                f"lie in {n_groups}"
            )
        shares = np.full(n_folds, 1 / n_folds)
        rng = stream(seed, "inner folds", *keys)
        bins = assign(samples.groups[rows], samples.codes[rows], len(samples.classes), shares, rng)
        folds = [Fold(b, rows[bins != b], rows[bins == b]) for b in range(n_folds)]
        for fold in folds:
            _check_apart(samples.groups, fold.parts())
        return folds

    def fit_and_tune(
        self, samples: Samples, rows: np.ndarray, seed: int, *keys: int | float | str
    ) -> tuple[np.ndarray, np.ndarray]:
        """The given rows, split by group into fit and tune; tune is empty where it would hold fewer than two samples per
        class on average.

        :raises SplitError: a class that cannot be in both
        """
        n_classes = len(samples.classes)
        if self.tune_share * len(rows) < 2 * n_classes:
            fit, tune = rows, rows[:0]
        else:
            shares = np.array([1 - self.tune_share, self.tune_share])
            side = assign(samples.groups[rows], samples.codes[rows], n_classes, shares, stream(seed, "tune", *keys))
            fit, tune = rows[side == 0], rows[side == 1]
        _check_apart(samples.groups, {"fit": fit, "tune": tune})
        for name, part in {"fit": fit, "tune": tune}.items():
            here = np.bincount(samples.codes[part], minlength=n_classes)
            if (name == "fit" or len(part)) and not here.all():
                c = int(np.argmin(here))
                n_rows = int((samples.codes[rows] == c).sum())
                n_groups = len(np.unique(samples.groups[rows][samples.codes[rows] == c]))
                raise SplitError(
                    f"class '{samples.classes[c]}' is missing from the {name} part: the {len(rows)} samples kept for training "
                    f"have {n_rows} of its {int((samples.codes == c).sum())} samples, in {n_groups} "
                    f"group{'' if n_groups == 1 else 's'}. task.min_groups_per_class or task.classes leaves such a class out"
                )
        return fit, tune

    def _folds_of_column(self, samples: Samples) -> tuple[np.ndarray, dict[int, str]]:
        obs = samples.obs
        if self.column not in obs.columns:
            raise SplitError(
                f"split.column: '{self.column}' is not a column of obs. {choices(self.column, obs.columns)}"
            )
        column = obs[self.column]
        bins, values = pd.factorize(column.where(column.astype(str).str.strip() != ""), sort=True)
        if len(values) > max(50, len(obs) // 2):
            raise SplitError(
                f"split.column: '{self.column}' has {len(values):,} values over {len(obs):,} samples; are these folds?"
            )
        torn = pd.Series(bins).groupby(samples.groups).nunique()
        if (torn > 1).any():
            where = samples.groups == torn.index[torn > 1][0]
            raise SplitError(
                f"split.column: '{self.column}' tears {int((torn > 1).sum())} groups of split.group={self.group} apart, e.g. "
                f"samples {', '.join(obs.index[where][:3])}; mend the column or drop split.group"
            )
        return np.asarray(bins), {i: str(v) for i, v in enumerate(values)}


def n_kept(n: int, fraction: float) -> int:
    """How many of n training samples a fraction keeps."""
    return max(1, round(fraction * n))


def _nested(rows: np.ndarray, codes: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """The first `fraction` of one stratified random order of the rows; each class comes in by its first sample at once."""
    if fraction == 1:
        return rows
    shuffled = rows[rng.permutation(len(rows))]
    within = pd.Series(codes[shuffled])
    place = within.groupby(within).cumcount() / within.map(within.value_counts())
    order = np.argsort(place.to_numpy(), kind="stable")
    return np.sort(shuffled[order[: n_kept(len(rows), fraction)]])


def _check_apart(groups: np.ndarray, parts: dict[str, np.ndarray]) -> None:
    """Post-condition of every split: no group, hence no sample, in two parts."""
    seen: dict[int, str] = {}
    for name, rows in parts.items():
        for g in np.unique(groups[rows]):
            if g in seen:
                raise SplitError(f"group {g} is in both the {seen[g]} and the {name} part: the split is not valid")
            seen[int(g)] = name


def _group_name(obs: pd.DataFrame, columns: str | list[str], mask: np.ndarray) -> str:
    first = columns if isinstance(columns, str) else columns[0]
    values = obs.loc[mask, first].astype(str).unique()
    return values[0] + (f" and {len(values) - 1} more" if len(values) > 1 else "")
