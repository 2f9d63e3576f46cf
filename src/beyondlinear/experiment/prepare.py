"""The parts of one fit, as the protocol orders them: selection and scaling, then signal removal."""

from dataclasses import dataclass

import numpy as np

from beyondlinear.data.scaling import Preparation
from beyondlinear.experiment.context import RunContext
from beyondlinear.models.interface import FitData, FitSeeds, Gram, Part
from beyondlinear.removal.modes import NoRemoval, Removal
from beyondlinear.tasks.splits import Fold, Parts

# bytes of a fit's parts; below, a scaled copy is cheap and each epoch then faster
SCALED_ROWS_FROM = 2**28


@dataclass(frozen=True)
class Prepared:
    """What a model is given, and which rows each step before it was fitted on.

    parts: "train" and, unless empty, "validation" and "test"; preparation_rows: what selection and
    scaling were fitted on; train_rows: the train part before removal left any out; removal_rows:
    the rows that went through removal together with the train part, and which a fitted removal
    learnt from; removal: as it was applied.
    """

    parts: dict[str, Part]
    preparation: Preparation
    preparation_rows: np.ndarray
    train_rows: np.ndarray
    removal_rows: np.ndarray
    removal: Removal
    warnings: list[str]

    @property
    def removal_carries_over(self) -> bool:
        """Whether removal took something from rows of the train part to other rows: it was fitted,
        or went over more rows."""
        together = len(self.removal_rows) > len(self.train_rows)
        return self.removal.learns or (together and self.removal.removes)

    def data(self, n_classes: int, seeds: FitSeeds, gram: Gram | None = None) -> FitData:
        """:param gram: the same rows as inner products, where fits share them"""
        train = self.parts["train"]
        test_x = self.parts["test"].x if "test" in self.parts else train.x[:0]
        return FitData(train, self.parts.get("validation"), test_x, n_classes, seeds, gram)


def prepare(
    context: RunContext,
    rows: Parts,
    whole: np.ndarray,
    removal: Removal,
    preparation: Preparation | None = None,
) -> Prepared:
    """Select, scale and remove signal.

    Everything is fitted on the train part alone unless `protocol.fit_on=all`. Under
    `protocol.removal_before_subsetting` the whole training part goes through removal before train
    and validation part are cut from it.

    :param whole: the training part that `rows` are taken from
    :param preparation: selection and scaling fitted elsewhere; None: fitted here
    :raises RemovalError: a part on which removal is not defined
    """
    everything = np.arange(len(context.samples.codes))
    preparation_rows = everything if context.fits_on_all else rows.train
    if preparation is None:
        preparation = context.fit_preparation(preparation_rows)
    units = removal_units(context, rows, whole)
    if not removal.removes:
        scaled = _scaled_when_read(context, rows, whole, preparation)
        if scaled:
            return Prepared(
                scaled, preparation, preparation_rows, rows.train, rows.train, removal, []
            )
    unit_rows = {
        name: context.rows(name, where, preparation.apply(context.samples.x, where))
        for name, where in units.items()
    }
    first = next(iter(unit_rows.values()))  # the train part, or the training part that holds it
    applied = removal.fit(first)
    warnings: list[str] = []
    parts = {}
    for name, unit in unit_rows.items():
        kept = applied.rows_to_keep(unit)  # some modes leave rows out: chosen before values change
        warnings.extend(applied.transform(unit))
        part = Part(unit.x, unit.codes, unit.positions)
        parts[name] = part if kept is None else _rows_of(part, kept)
    if "training" in parts:
        parts |= _divided(parts.pop("training"), rows)
    return Prepared(
        parts={name: parts[name] for name in by_part(rows) if name in parts},
        preparation=preparation,
        preparation_rows=preparation_rows,
        train_rows=rows.train,
        removal_rows=units.get("training", rows.train),
        removal=applied,
        warnings=warnings,
    )


def _rows_of(part: Part, which: np.ndarray) -> Part:
    return Part(part.x[which], part.codes[which], part.rows[which])


def _divided(training: Part, rows: Parts) -> dict[str, Part]:
    """Train and validation part, cut from the training part after removal."""
    parts = {}
    for name, where in by_part(rows).items():
        if name != "test":
            parts[name] = _rows_of(training, np.flatnonzero(np.isin(training.rows, where)))
    return parts


def _scaled_when_read(
    context: RunContext, rows: Parts, whole: np.ndarray, preparation: Preparation
) -> dict[str, Part]:
    """The parts without a copy of the matrix, where nothing changes them, a copy would be large,
    and the model reads rows that are scaled when they are read; else none."""
    samples, parts = context.samples, by_part(rows)
    n_rows = sum(len(where) for where in parts.values())
    if not context.model.reads_scaled_rows or context.trainer.accelerator != "cpu":
        return {}
    if 4 * n_rows * samples.x.shape[1] < SCALED_ROWS_FROM:
        return {}
    if context.removes_before_subsetting:
        # the order that the rows have when they went through removal together
        for name in ("train", "validation"):
            if name in parts:
                parts[name] = whole[np.isin(whole, parts[name])]
    scaled = {}
    for name, where in parts.items():
        x = preparation.scaled_rows(samples.x, where)
        if x is None:
            return {}
        scaled[name] = Part(x, samples.codes[where], where)
    return scaled


def shared_inner_products(
    context: RunContext, rows: Parts, whole: np.ndarray, removal: Removal
) -> Gram | None:
    """The same parts as inner products, from those that all fits share; None where none do."""
    if context.shared_gram is None:
        return None
    return context.shared_gram.of(removal_units(context, rows, whole), by_part(rows), removal)


def removal_units(context: RunContext, rows: Parts, whole: np.ndarray) -> dict[str, np.ndarray]:
    """The rows that go through signal removal together, by name; the first hold the train part."""
    if context.removes_before_subsetting:
        return {"training": whole, "test": rows.test}
    return by_part(rows)


def by_part(rows: Parts) -> dict[str, np.ndarray]:
    """Row numbers by part, without empty parts; the train part is always there."""
    parts = {"train": rows.train, "validation": rows.validation, "test": rows.test}
    return {name: where for name, where in parts.items() if len(where) or name == "train"}


def removal_for_tuning(context: RunContext) -> tuple[Removal, str]:
    """The removal that inner folds go through, and its name: that of the fit, unless the protocol
    chooses hyperparameters once, with the signal present."""
    if context.tunes_once and context.removal.labels_of != "all samples":
        return NoRemoval(), "none"
    return context.removal, context.names["signal_removal"]


def fit_seeds(context: RunContext, fold: Fold, key: float | str) -> FitSeeds:
    """Seeds of one training. Where there is pretraining, all trainings of a rotation start from one
    initialisation."""
    shared = () if fold.pretraining is None else (fold.number,)
    return FitSeeds.drawn(context.seed, fold.number, key, initialisation=shared)
