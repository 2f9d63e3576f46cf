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
from beyondlinear.removal.modes import NoRemoval, Removal, Rows
from beyondlinear.results import Store
from beyondlinear.scaling import Preparation, fit_preparation
from beyondlinear.splits import Parts, Splitter
from beyondlinear.tasks import Samples
from beyondlinear.training import FitData, Training
from beyondlinear.tuning import Tuning

VIEWS_FROM = 2**28  # bytes of a fit's parts; below, a scaled copy is cheap and each epoch then faster


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

    @property
    def width(self) -> tuple[int, int]:
        """How many genes a model is given, and how many classes."""
        n_genes, top = self.samples.x.shape[1], self.cfg.select.top_variance
        return n_genes if top is None else min(top, n_genes), len(self.samples.classes)

    def learn(self, rows: np.ndarray) -> Preparation:
        """Gene selection and scaling, learnt from these rows, or over the whole store where the protocol fits on all."""
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
        """The inner products of all samples, where every fit prepares them alike and they are fewer than the genes."""
        x, top = self.samples.x, self.cfg.select.top_variance
        same = self.fits_on_all or (self.cfg.scale.name == "none" and top is None)
        n, n_genes = len(x), x.shape[1] if top is None else min(top, x.shape[1])
        if not same or n > n_genes or 8 * n * n > LARGEST or not self.removal.on_rows:
            return None
        everything = np.arange(n)
        prepared = self.learn(everything).apply(x, everything) if self.fits_on_all else x
        return SharedGram(prepared, self.rows)


@dataclass(frozen=True)
class Prepared:
    """parts: "fit" and, unless empty, "tune" and "validation"; learnt_from: the rows that selection and scaling saw;
    fit_rows: the fit part before removal left any out; removed_with: the rows that went through removal together with it, and
    which a learnt removal saw; removal: as it was applied."""

    parts: dict[str, Part]
    preparation: Preparation
    learnt_from: np.ndarray
    fit_rows: np.ndarray
    removed_with: np.ndarray
    removal: Removal
    warnings: list[str]

    @property
    def learns_removal(self) -> bool:
        """Whether removal took something from rows of the fit part to other rows: it was learnt, or went over more rows."""
        together = len(self.removed_with) > len(self.fit_rows)
        return self.removal.learns or (together and not isinstance(self.removal, NoRemoval))

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
    if isinstance(removal, NoRemoval) and (views := _views(bench, rows, whole, ready)):
        return Prepared(views, ready, learnt_from, rows.fit, rows.fit, removal, [])
    units = removal_units(bench, rows, whole)
    held = {name: bench.rows(name, where, ready.apply(samples.x, where)) for name, where in units.items()}
    applied = removal.learn(next(iter(held.values())))
    notices: list[str] = []
    done = {}
    for name, unit in held.items():
        kept = applied.kept(unit)
        notices.extend(applied.remove(unit))
        part = Part(unit.x, unit.codes, unit.positions)
        done[name] = part if kept is None else Part(part.x[kept], part.codes[kept], part.rows[kept])
    if "training" in done:
        training = done.pop("training")
        for name, where in named(rows).items():
            if name != "validation":
                inside = np.flatnonzero(np.isin(training.rows, where))
                done[name] = Part(training.x[inside], training.codes[inside], training.rows[inside])
    done = {name: done[name] for name in named(rows) if name in done}
    return Prepared(done, ready, learnt_from, rows.fit, units.get("training", rows.fit), applied, notices)


def _views(bench: Bench, rows: Parts, whole: np.ndarray, ready: Preparation) -> dict[str, Part]:
    """The parts without a copy of the matrix, where nothing changes them, it would be large, and the model reads views."""
    samples, parts = bench.samples, named(rows)
    n_rows = sum(map(len, parts.values()))
    if not getattr(bench.model, "reads_views", False) or bench.training.accelerator != "cpu":
        return {}
    if 4 * n_rows * samples.x.shape[1] < VIEWS_FROM or ready.view(samples.x, rows.fit) is None:
        return {}
    if (
        bench.cfg.protocol.removal_before_subsetting
    ):  # the order that the rows have when they went through removal together
        parts |= {name: whole[np.isin(whole, where)] for name, where in parts.items() if name != "validation"}
    made = {name: ready.view(samples.x, where) for name, where in parts.items()}
    return {name: Part(x, samples.codes[parts[name]], parts[name]) for name, x in made.items() if x is not None}


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
    if bench.cfg.protocol.tuning_once and bench.removal.labels_of != "all samples":
        return NoRemoval(), "none"
    return bench.removal, bench.config["signal_removal"]["name"]
