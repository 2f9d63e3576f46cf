"""Controls: the same samples, groups and folds, with labels or features of which the truth is
known.

Whatever a pipeline finds in a control, the pipeline put there. `linear_labels` is the decisive one
for signal removal: its labels are linear by construction and about as predictable as the real ones,
so no model can honestly beat its Bayes accuracy.
"""

import hashlib
import logging
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from beyondlinear.data.scaling import fit_preparation
from beyondlinear.models.linear.null_model import (
    FoldedRows,
    NullModel,
    fit_null_model,
    with_frequencies,
)
from beyondlinear.runtime.errors import ControlError, OptimumError
from beyondlinear.runtime.files import atomic
from beyondlinear.runtime.provenance import NUMERICS_VERSION
from beyondlinear.runtime.seeds import stream
from beyondlinear.tasks.group_assignment import assign
from beyondlinear.tasks.task import Samples

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """What else a control may need.

    top_variance: how many genes the fits select; cache: folder of null models, which all draws of a
    sweep share.
    """

    top_variance: int | None = None
    cache: Path | None = None


# the samples that a run goes on with, and what its records say of the control
Controlled = tuple[Samples, dict[str, object]]

# control and real labels agree in at least this share of samples: a comparison says next to nothing
NO_CONTRAST = 0.95
_ATTEMPTS = 100  # draws made until every class has samples


@dataclass(frozen=True)
class NoControl:
    """The real labels, whatever the draw."""

    draw: Annotated[int, Field(ge=0)] = 0

    def apply(self, samples: Samples, seed: int, setting: Setting) -> Controlled:
        return samples, {}


@dataclass(frozen=True)
class Shuffled:
    """The real labels, permuted once: whole groups where the label is constant in them, single
    samples elsewhere."""

    draw: Annotated[int, Field(ge=0)] = 0

    def apply(self, samples: Samples, seed: int, setting: Setting) -> Controlled:
        random = stream(seed, "control", "shuffled", self.draw)
        codes = samples.codes.copy()
        units, is_group = label_units(samples.codes, samples.groups)
        # groups exchange labels among each other, and so do the single samples
        for rows in (np.flatnonzero(is_group), np.flatnonzero(~is_group)):
            ids, first, unit = np.unique(units[rows], return_index=True, return_inverse=True)
            unit_codes = samples.codes[rows[first]]
            shuffled = unit_codes[random.permutation(len(ids))]
            codes[rows] = shuffled[unit]
        facts: dict[str, object] = {
            "bayes_accuracy": 1 / len(samples.classes),
            "agreement": float((codes == samples.codes).mean()),
        }
        return replace(samples, codes=codes, strata=samples.strata_or_codes), facts


@dataclass(frozen=True)
class MatchedNull:
    """The real labels and groups over features of Gaussian noise of the same size: the null of the
    design, not of the data's structure."""

    draw: Annotated[int, Field(ge=0)] = 0

    def apply(self, samples: Samples, seed: int, setting: Setting) -> Controlled:
        random = stream(seed, "control", "matched_null", self.draw)
        noise = random.standard_normal(samples.x.shape, dtype=np.float32)
        facts: dict[str, object] = {"bayes_accuracy": 1 / len(samples.classes)}
        return replace(samples, x=noise, whole_store=None), facts


@dataclass(frozen=True)
class LinearLabels:
    """Labels drawn from ONE multinomial logistic model of the expression, as predictable as a
    linear model finds the real ones out of fold. conf/control/linear_labels.yaml explains the
    keys."""

    direction: Literal["fitted", "random"] = "fitted"
    draw: Annotated[int, Field(ge=0)] = 0
    folds: Annotated[int, Field(ge=2)] = 5

    def apply(self, samples: Samples, seed: int, setting: Setting) -> Controlled:
        """:raises ControlError: the linear model could not be certified, or leaves a class without
        samples"""
        n_classes = len(samples.classes)
        units = label_units(samples.codes, samples.groups)[0]
        null_model = self.null_model(samples, units, seed, setting)
        if self.direction == "random":
            x = _standardised(samples, setting)
            random = stream(seed, "control", "direction", self.draw)
            null_model = _random_direction(null_model, x, units, samples.codes, n_classes, random)
        random = stream(seed, "control", "linear_labels", self.draw)
        codes = _drawn(null_model, units, n_classes, random)
        bayes_accuracy = null_model.bayes_balanced_accuracy()
        agreement = float((codes == samples.codes).mean())
        no_contrast = agreement >= NO_CONTRAST
        facts: dict[str, object] = {
            "bayes_accuracy": bayes_accuracy,
            "agreement": agreement,
            "no_contrast": no_contrast,
            "relative_penalty": null_model.relative_penalty,
            "relative_gradient": null_model.relative_gradient,
            "slope": null_model.slope,
            "n_units": len(np.unique(units)),
        }
        log.info(
            "control linear_labels (%s direction, draw %d): Bayes balanced accuracy %.3f, %.3f of"
            " labels as the real ones%s",
            self.direction,
            self.draw,
            bayes_accuracy,
            agreement,
            "; no contrast: they nearly coincide with the real ones" if no_contrast else "",
        )
        return replace(samples, codes=codes, strata=samples.strata_or_codes), facts

    def null_model(
        self, samples: Samples, units: np.ndarray, seed: int, setting: Setting
    ) -> NullModel:
        """The linear null model of the real labels, the same for every draw; fitted once where
        there is a cache.

        :param units: (n,) rows of one unit share their label
        :raises ControlError: fewer groups than folds, or a model that could not be certified
        """
        n_groups = len(np.unique(samples.groups))
        if n_groups < self.folds:
            raise ControlError(
                f"control.folds: {self.folds} folds need as many groups, there are {n_groups}; use"
                f" control.folds={n_groups}"
            )
        path = None
        if setting.cache is not None:
            determined_by = (
                f"{samples.fingerprint()}{setting.top_variance}{self.folds}{seed}{NUMERICS_VERSION}"
            )
            digest = hashlib.sha256(determined_by.encode()).hexdigest()
            path = setting.cache / f"{digest[:32]}.npz"
            cached = _read_cached(path)
            if cached is not None:
                return cached
        n_classes = len(samples.classes)
        shares = np.full(self.folds, 1 / self.folds)
        random = stream(seed, "control", "folds")
        folds = assign(samples.groups, samples.codes, n_classes, shares, random)
        rows = FoldedRows(_standardised(samples, setting), folds, units)
        try:
            null_model = fit_null_model(rows, samples.codes, n_classes)
        except OptimumError as e:
            raise ControlError(
                f"control=linear_labels needs a certified linear model of the real labels. {e}"
            ) from e
        if path is not None:
            arrays = {name: getattr(null_model, name) for name in _CACHED}
            with atomic(path) as temporary, open(temporary, "wb") as f:
                np.savez(f, allow_pickle=False, **arrays)
        return null_model


def _drawn(
    null_model: NullModel, units: np.ndarray, n_classes: int, random: np.random.Generator
) -> np.ndarray:
    """(n,) codes drawn from the null model.

    :raises ControlError: after many draws some class still has fewer than two samples
    """
    for _ in range(_ATTEMPTS):
        codes = null_model.draw(random, units)
        if (np.bincount(codes, minlength=n_classes) >= 2).all():
            return codes
    raise ControlError(
        f"control=linear_labels: in {_ATTEMPTS} draws some class of {n_classes} got fewer than 2 of"
        f" {len(units)} samples; leave rare classes out (task.classes, task.min_groups_per_class)"
    )


_CACHED = ("logits", "out_of_fold", "relative_penalty", "relative_gradient", "slope")


def _read_cached(path: Path) -> NullModel | None:
    """A null model of an earlier draw; None where there is no whole file, which is then written
    again."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return NullModel(
                logits=stored["logits"],
                out_of_fold=stored["out_of_fold"],
                relative_penalty=float(stored["relative_penalty"]),
                relative_gradient=float(stored["relative_gradient"]),
                slope=float(stored["slope"]),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _standardised(samples: Samples, setting: Setting) -> np.ndarray:
    rows = np.arange(len(samples.codes))
    preparation = fit_preparation(
        samples.x, rows, top_variance=setting.top_variance, scale="standardise"
    )
    return preparation.apply(samples.x, rows)


def label_units(codes: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What one label belongs to: a group where its label is constant, else the sample.

    :returns: (n,) unit of each sample, 0 … n_units - 1; (n,) bool, whether its unit is a whole
        group
    """
    n_groups = groups.max() + 1
    lowest = np.full(n_groups, np.iinfo(np.int64).max)
    highest = np.full(n_groups, -1)
    np.minimum.at(lowest, groups, codes)
    np.maximum.at(highest, groups, codes)
    is_group = (lowest == highest)[groups]
    own_number = n_groups + np.arange(len(codes))
    units = np.where(is_group, groups, own_number)
    return np.unique(units, return_inverse=True)[1], is_group


def _random_direction(
    null_model: NullModel,
    x: np.ndarray,
    units: np.ndarray,
    codes: np.ndarray,
    n_classes: int,
    random: np.random.Generator,
) -> NullModel:
    """The same strength, in a direction that has nothing to do with the real labels.

    :param x: (n, n_genes) float32, standardised; units, codes: (n,) int64
    """
    logits = x @ random.standard_normal((x.shape[1], n_classes))
    sums = np.stack([np.bincount(units, of_class) for of_class in logits.T], axis=1)
    unit_logits = sums / np.bincount(units)[:, None]
    centred = unit_logits - unit_logits.mean(0)
    unit_logits -= unit_logits.mean(0) + centred.mean(1, keepdims=True)
    real_logits = null_model.logits - null_model.logits.mean(0)
    real_unit_logits = real_logits[np.unique(units, return_index=True)[1]]
    strength = np.sqrt((real_unit_logits**2).mean() / (unit_logits**2).mean())
    scaled = unit_logits * strength
    frequencies = np.bincount(codes, minlength=n_classes) / len(codes)
    return replace(null_model, logits=with_frequencies(scaled[units], frequencies))
