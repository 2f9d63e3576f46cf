"""The parts of one fit, as the protocol orders them: selection and scaling, then signal removal."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from beyondlinear.datamodule import Part
from beyondlinear.linear.reduction import Gram
from beyondlinear.linear.shared import LARGEST, SharedGram
from beyondlinear.removal.modes import NoRemoval, Removal
from beyondlinear.results import Store
from beyondlinear.scaling import Preparation, fit_preparation
from beyondlinear.splits import Parts, Splitter
from beyondlinear.tasks import Samples
from beyondlinear.training import FitData, Training
from beyondlinear.tuning import Tuning


@dataclass(frozen=True)
class Bench:
    """What all fits of a run share."""

    cfg: DictConfig
    config: dict[str, Any]
    samples: Samples
    fingerprint: str
    splitter: Splitter
    removal: Removal
    model: Any
    tuning: Tuning
    training: Training
    store: Store
    directory: Path

    @property
    def fits_on_all(self) -> bool:
        return self.cfg.protocol.fit_on.name == "all"

    def learn(self, rows: np.ndarray) -> Preparation:
        """Gene selection and scaling, learnt from these rows."""
        return fit_preparation(
            self.samples.x, rows, top_variance=self.cfg.select.top_variance, scale=self.cfg.scale.name
        )

    @cached_property
    def shared_gram(self) -> SharedGram | None:
        """The inner products of all samples, where every fit prepares them alike and they are fewer than the genes."""
        x, top = self.samples.x, self.cfg.select.top_variance
        same = self.fits_on_all or (self.cfg.scale.name == "none" and top is None)
        n, n_genes = len(x), x.shape[1] if top is None else min(top, x.shape[1])
        if not same or n > n_genes or 8 * n * n > LARGEST or not getattr(self.removal, "on_rows", False):
            return None
        everything = np.arange(n)
        prepared = self.learn(everything).apply(x, everything) if self.fits_on_all else x
        return SharedGram(prepared, self.samples.codes, self.samples.classes)


@dataclass(frozen=True)
class Prepared:
    """parts: "fit" and, unless empty, "tune" and "validation"; learnt_from: the rows that selection and scaling saw;
    removed_with: the rows that went through removal together with the fit part."""

    parts: dict[str, Part]
    preparation: Preparation
    learnt_from: np.ndarray
    removed_with: np.ndarray
    warnings: list[str]

    def data(self, n_classes: int, seed: Callable[[str], int], gram: Gram | None = None, **more: Any) -> FitData:
        return FitData(
            fit=self.parts["fit"],
            tune=self.parts.get("tune"),
            validation_x=self.parts["validation"].x if "validation" in self.parts else self.parts["fit"].x[:0],
            n_classes=n_classes,
            seed=seed,
            gram=gram,
            **more,
        )


def prepare(
    bench: Bench, rows: Parts, whole: np.ndarray, removal: Removal, preparation: Preparation | None = None
) -> Prepared:
    """Select, scale and remove signal.

    Everything is learnt from the fit part alone unless `protocol.fit_on=all`. Under `protocol.removal_before_subsetting` the
    whole training part goes through removal before fit and tune are cut from it.

    :param whole: the training part that `rows` are taken from
    :param preparation: selection and scaling learnt elsewhere; None: learnt here
    :raises RemovalError: a part on which removal is not defined
    """
    samples = bench.samples
    learnt_from = np.arange(len(samples.codes)) if bench.fits_on_all else rows.fit
    ready = preparation or bench.learn(learnt_from)
    notices: list[str] = []
    units = removal_units(bench, rows, whole)
    done = {}
    for name, where in units.items():
        x, codes = ready.apply(samples.x, where), samples.codes[where]
        notices.extend(removal.remove(x, codes, samples.classes, name))
        done[name] = Part(x, codes, where)
    if "training" in done:
        training = done.pop("training")
        for name, where in named(rows).items():
            if name != "validation":
                inside = np.searchsorted(whole, where)
                done[name] = Part(training.x[inside], training.codes[inside], where)
    return Prepared(done, ready, learnt_from, units.get("training", rows.fit), notices)


def shared_inner_products(bench: Bench, rows: Parts, whole: np.ndarray, removal: Removal) -> Gram | None:
    """The same parts as inner products, from those that all fits share."""
    if bench.shared_gram is None:
        return None
    return bench.shared_gram.of(removal_units(bench, rows, whole), named(rows), removal)


def removal_units(bench: Bench, rows: Parts, whole: np.ndarray) -> dict[str, np.ndarray]:
    """The rows that go through signal removal together, by name."""
    together = bench.cfg.protocol.removal_before_subsetting
    return {"training": whole, "validation": rows.validation} if together else named(rows)


def named(rows: Parts) -> dict[str, np.ndarray]:
    parts = {"fit": rows.fit, "tune": rows.tune, "validation": rows.validation}
    return {k: v for k, v in parts.items() if len(v) or k == "fit"}


def removal_for_tuning(bench: Bench) -> tuple[Removal, str]:
    """Hyperparameters are chosen after the same removal, unless the protocol chooses them once, with the signal present."""
    if bench.cfg.protocol.tuning_once and bench.config["signal_removal"]["name"] != "full":
        return NoRemoval(), "none"
    return bench.removal, bench.config["signal_removal"]["name"]
