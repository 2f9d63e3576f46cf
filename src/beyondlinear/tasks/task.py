"""Which samples, which classes: from a dataset to the samples of one task, with labels encoded
once, before any split."""

import hashlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from beyondlinear.data.obs import as_words, word
from beyondlinear.data.store_statistics import KEY, WholeStore
from beyondlinear.runtime.errors import DataError, choices

if TYPE_CHECKING:
    from anndata import AnnData

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Samples:
    """The samples of a task.

    x: (n_samples, n_genes) float32, C-contiguous; codes: (n_samples,) int64, positions in
    `classes`; groups: (n_samples,) int64, equal where two samples must stay on one side of a split;
    strata: (n_samples,) int64, what outer folds are stratified by, where it is not `codes`: a
    control's folds are those of the real labels; whole_store: of a prepared store, for protocols
    that scale and rank genes over all its samples.
    """

    x: np.ndarray
    codes: np.ndarray
    classes: list[str]
    groups: np.ndarray
    obs: pd.DataFrame
    gene_ids: np.ndarray
    dropped: dict[str, int] = field(default_factory=dict)
    strata: np.ndarray | None = None
    whole_store: WholeStore | None = None

    @property
    def strata_or_codes(self) -> np.ndarray:
        return self.codes if self.strata is None else self.strata

    @property
    def sample_ids(self) -> np.ndarray:
        return self.obs.index.to_numpy(dtype=str)

    def fingerprint(self) -> str:
        """A hash of everything a fit can see: values, sample and gene ids, labels, groups."""
        digest = hashlib.blake2b(digest_size=16)
        for array in (self.x, self.codes, self.groups):
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).data.cast("B"))
        for words in (self.classes, self.sample_ids, self.gene_ids):
            digest.update("\0".join(map(str, words)).encode() + b"\1")
        if self.whole_store is not None:
            digest.update(self.whole_store.bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Task:
    """Predict the obs column `label` over `classes`: a list, {"top": k} for the k commonest, or
    None for all."""

    label: str
    classes: list[str | int | float | bool] | dict[str, int] | None = None
    min_groups_per_class: Annotated[int, Field(ge=1)] | None = None

    def labels(self, obs: pd.DataFrame) -> pd.Series:
        """The label of each sample as a word; missing where there is none.

        :raises DataError: the column does not exist
        """
        if self.label not in obs.columns:
            raise DataError(
                f"task.label: '{self.label}' is not a column of the metadata (obs)."
                f" {choices(self.label, obs.columns)}"
            )
        return as_words(obs[self.label])

    def select(self, adata: "AnnData", groups: np.ndarray) -> Samples:
        """The samples of this task; those without a label are dropped and counted.

        :param groups: (n_obs,) group of each sample of `adata`
        :raises DataError: unknown label column or class, or fewer than two classes left
        """
        obs = adata.obs
        labels = self.labels(obs)
        kept = labels.notna().to_numpy()
        dropped = {f"without {self.label}": int((~kept).sum())}
        counts = labels.value_counts()
        if len(counts) > max(50, 0.5 * kept.sum()):
            raise DataError(
                f"task.label: '{self.label}' has {len(counts):,} distinct values over"
                f" {kept.sum():,} samples; that is no class label. Name a column with a few"
                " classes, or make one (e.g. bins of a number) in the metadata"
            )
        wanted = self._wanted(counts)
        in_classes = labels.isin(wanted).to_numpy()
        dropped["of other classes"] = int((kept & ~in_classes).sum())
        if self.min_groups_per_class is not None:
            n_groups = (
                pd.Series(groups[in_classes]).groupby(labels[in_classes].to_numpy()).nunique()
            )
            wanted = [c for c in wanted if n_groups.get(c, 0) >= self.min_groups_per_class]
            few = in_classes & ~labels.isin(wanted).to_numpy()
            dropped[f"of classes in fewer than {self.min_groups_per_class} groups"] = int(few.sum())
            in_classes &= ~few
        classes = sorted(wanted)
        if len(classes) < 2:
            left_out = ", ".join(f"{n} {why}" for why, n in dropped.items() if n) or "none"
            raise DataError(
                f"task.label: '{self.label}' leaves {len(classes)}"
                f" class{'' if len(classes) == 1 else 'es'} ({', '.join(classes) or 'none'}) of"
                f" {len(counts)} in the data; a task needs at least two. Samples per class:"
                f" {_shown(counts)}; left out: {left_out}"
            )
        rows = np.flatnonzero(in_classes)
        dropped = {why: n for why, n in dropped.items() if n}
        for why, n in dropped.items():
            log.info("task %s: %s samples %s are left out", self.label, f"{n:,}", why)
        complete = len(rows) == adata.n_obs
        return Samples(
            x=adata.X if complete else adata.X[rows],  # no second copy of a matrix kept whole
            codes=pd.Categorical(labels.iloc[rows], categories=classes).codes.astype(np.int64),
            classes=classes,
            groups=np.unique(groups[rows], return_inverse=True)[1].astype(np.int64),
            obs=obs if complete else obs.iloc[rows],
            gene_ids=adata.var_names.to_numpy(dtype=str),
            dropped=dropped,
            whole_store=adata.uns.get(KEY),
        )

    def _wanted(self, counts: pd.Series) -> list[str]:
        if self.classes is None:
            return list(counts.index)
        if isinstance(self.classes, dict):
            k = self.classes.get("top")
            if set(self.classes) != {"top"} or not isinstance(k, int) or k < 2:
                raise DataError(
                    f"task.classes: {self.classes} is not allowed; give a list of classes or {{top:"
                    " k}, k ≥ 2"
                )
            if k > len(counts):
                raise DataError(
                    f"task.classes: {{top: {k}}} asks for more than the {len(counts)} classes"
                    " there are"
                )
            # ties go to the first in the alphabet, so that the choice does not depend on the order
            # of samples
            return [
                str(c)
                for c in counts.sort_index().sort_values(ascending=False, kind="stable").index[:k]
            ]
        wanted = [word(c) for c in self.classes]
        for c in wanted:
            if c not in counts.index:
                raise DataError(
                    f"task.classes: '{c}' is not a class of '{self.label}'."
                    f" {choices(c, counts.index)}"
                )
        return list(dict.fromkeys(wanted))


def _shown(counts: pd.Series, limit: int = 10) -> str:
    some = ", ".join(f"{name} {n}" for name, n in counts.iloc[:limit].items())
    return some + (f", … ({len(counts)} in all)" if len(counts) > limit else "")
