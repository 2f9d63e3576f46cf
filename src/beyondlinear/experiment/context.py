"""What all fits of a run share: samples, how they are split and prepared, the model, the store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from omegaconf import DictConfig

from beyondlinear.data.scaling import Preparation, fit_preparation
from beyondlinear.evaluation.audit.row_usage import SampleManifest
from beyondlinear.experiment.hyperparameter_search import Tuning
from beyondlinear.experiment.shared_gram import LARGEST, SharedGram
from beyondlinear.models.interface import FitResult, Model, TrainerConfig
from beyondlinear.records.record import DataRecord
from beyondlinear.records.store import RecordStore
from beyondlinear.removal.modes import Removal, Rows
from beyondlinear.tasks.splits import Parts, Splitter
from beyondlinear.tasks.task import Samples


@dataclass(frozen=True)
class Pretrained:
    """A model that was trained on the pretraining part of a rotation, and that part's rows."""

    result: FitResult
    rows: Parts


@dataclass(frozen=True)
class RunContext:
    """What all fits of a run share.

    cfg: the composed config, for its keys; config: the same resolved, as records hold it; names:
    group of the config → name of its choice; data: what records say of the samples; manifest: who
    the samples are, for the audit; warnings: of signal removal over all samples, where the mode has
    one; pretrained: the latest model of each kind that pretraining has made.
    """

    cfg: DictConfig
    config: Mapping[str, Any]
    names: dict[str, str]
    samples: Samples
    data: DataRecord
    splitter: Splitter
    removal: Removal
    model: Model
    tuning: Tuning
    trainer: TrainerConfig
    store: RecordStore
    manifest: SampleManifest | None = None
    warnings: tuple[str, ...] = ()
    pretrained: dict[tuple[object, ...], Pretrained] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        return int(self.cfg.seed)

    @property
    def n_classes(self) -> int:
        return len(self.samples.classes)

    @property
    def n_genes(self) -> int:
        """How many genes a model is given."""
        n_genes, top = self.samples.x.shape[1], self.cfg.select.top_variance
        return n_genes if top is None else min(top, n_genes)

    @property
    def fits_on_all(self) -> bool:
        """Whether gene selection and scaling see every sample, test rows included."""
        return self.cfg.protocol.fit_on.name == "all"

    @property
    def removes_before_subsetting(self) -> bool:
        """Whether the whole training part goes through signal removal before it is divided."""
        return bool(self.cfg.protocol.removal_before_subsetting)

    @property
    def tunes_once(self) -> bool:
        """Whether one choice of hyperparameters serves every fraction and removal of a fold."""
        return bool(self.cfg.protocol.tuning_once)

    def fit_preparation(self, rows: np.ndarray) -> Preparation:
        """Gene selection and scaling, fitted on these rows, or over the whole prepared store where
        the protocol fits on all."""
        return fit_preparation(
            self.samples.x,
            rows,
            top_variance=self.cfg.select.top_variance,
            scale=self.cfg.scale.name,
            whole_store=self.samples.whole_store if self.fits_on_all else None,
        )

    def rows(self, name: str, where: np.ndarray, x: np.ndarray) -> Rows:
        """Rows of the task's samples, as signal removal is given them."""
        s = self.samples
        return Rows(x, s.codes[where], s.classes, name, where, s.groups[where], s.obs.iloc[where])

    @cached_property
    def shared_gram(self) -> SharedGram | None:
        """The inner products of all samples, where every fit prepares them alike and they are fewer
        than the genes."""
        x = self.samples.x
        unscaled = self.cfg.scale.name == "none" and self.cfg.select.top_variance is None
        n_bytes = 8 * len(x) ** 2
        if not (self.fits_on_all or unscaled) or not self.removal.on_rows:
            return None
        if len(x) > self.n_genes or n_bytes > LARGEST:
            return None
        everything = np.arange(len(x))
        if self.fits_on_all:
            x = self.fit_preparation(everything).apply(x, everything)
        return SharedGram(x, self.rows)
