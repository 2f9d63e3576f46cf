"""Controls: the same samples, groups and folds, with labels or features of which the truth is known.

Whatever a pipeline finds in a control, the pipeline put there. `linear_labels` is the decisive one for signal removal: its
labels are linear by construction and about as predictable as the real ones, so no model can honestly beat its Bayes accuracy.
"""

import hashlib
import logging
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from beyondlinear.balance import assign
from beyondlinear.errors import ControlError, OptimumError
from beyondlinear.linear.law import FoldedRows, LinearLaw, fit_law, with_frequencies
from beyondlinear.results import NUMERICS_VERSION, atomic
from beyondlinear.scaling import fit_preparation
from beyondlinear.seeds import stream
from beyondlinear.tasks import Samples

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """What else a control may need. top_variance: how many genes the fits keep; cache: folder of linear laws, which all draws
    of a sweep share."""

    top_variance: int | None = None
    cache: Path | None = None


Controlled = tuple[
    Samples, dict[str, Any]
]  # the samples that a run goes on with, and what its records say of the control

NO_CONTRAST = 0.95  # control and real labels agree in at least this share of samples: a comparison says next to nothing
_ATTEMPTS = 100  # draws made until every class has samples


@dataclass(frozen=True)
class NoControl:
    """The real labels, whatever the draw."""

    draw: Annotated[int, Field(ge=0)] = 0

    def apply(self, samples: Samples, seed: int, setting: Setting) -> Controlled:
        return samples, {}


@dataclass(frozen=True)
class Shuffled:
    """The real labels, permuted once: whole groups where the label is constant in them, single samples elsewhere."""

    draw: Annotated[int, Field(ge=0)] = 0

    def apply(self, samples: Samples, seed: int, setting: Setting) -> Controlled:
        random = stream(seed, "control", "shuffled", self.draw)
        codes = samples.codes.copy()
        units, whole = label_units(samples.codes, samples.groups)
        for together in (True, False):
            first = np.unique(units[whole == together], return_index=True)
            rows = np.flatnonzero(whole == together)
            shuffled = samples.codes[rows[first[1]]][random.permutation(len(first[0]))]
            codes[rows] = shuffled[np.searchsorted(first[0], units[rows])]
        said = {"bayes_accuracy": 1 / len(samples.classes), "agreement": float((codes == samples.codes).mean())}
        return replace(samples, codes=codes, strata=samples.strata_or_codes), said


@dataclass(frozen=True)
class MatchedNull:
    """The real labels and groups over features of Gaussian noise of the same size: the null of the design, not of the data's
    structure."""

    draw: Annotated[int, Field(ge=0)] = 0

    def apply(self, samples: Samples, seed: int, setting: Setting) -> Controlled:
        random = stream(seed, "control", "matched_null", self.draw)
        noise = random.standard_normal(samples.x.shape, dtype=np.float32)
        return replace(samples, x=noise, whole_store=None), {"bayes_accuracy": 1 / len(samples.classes)}


@dataclass(frozen=True)
class LinearLabels:
    """Labels drawn from ONE multinomial logistic model of the expression, as predictable as a linear model finds the real ones
    out of fold. conf/control/linear_labels.yaml explains the keys."""

    direction: Literal["fitted", "random"] = "fitted"
    draw: Annotated[int, Field(ge=0)] = 0
    folds: Annotated[int, Field(ge=2)] = 5

    def apply(self, samples: Samples, seed: int, setting: Setting) -> Controlled:
        """:raises ControlError: the linear model could not be certified, or leaves a class without samples"""
        k = len(samples.classes)
        units = label_units(samples.codes, samples.groups)[0]
        law = self.law(samples, units, seed, setting)
        if self.direction == "random":
            random = stream(seed, "control", "direction", self.draw)
            law = _random_direction(law, _standardised(samples, setting), units, samples.codes, k, random)
        random = stream(seed, "control", "linear_labels", self.draw)
        for _ in range(_ATTEMPTS):
            codes = law.draw(random, units)
            if (np.bincount(codes, minlength=k) >= 2).all():
                break
        else:
            raise ControlError(
                f"control=linear_labels: in {_ATTEMPTS} draws some class of {k} got fewer than 2 of {len(codes)} samples; "
                "leave rare classes out (task.classes, task.min_groups_per_class)"
            )
        agreement = float((codes == samples.codes).mean())
        said = {
            "bayes_accuracy": law.bayes_balanced_accuracy(),
            "agreement": agreement,
            "no_contrast": agreement >= NO_CONTRAST,
            "relative_penalty": law.relative_penalty,
            "relative_gradient": law.relative_gradient,
            "slope": law.slope,
            "n_units": len(np.unique(units)),
        }
        log.info(
            "control linear_labels (%s direction, draw %d): Bayes balanced accuracy %.3f, %.3f of labels as the real ones%s",
            *(self.direction, self.draw, said["bayes_accuracy"], agreement),
            "; no contrast: they nearly coincide with the real ones" if said["no_contrast"] else "",
        )
        return replace(samples, codes=codes, strata=samples.strata_or_codes), said

    def law(self, samples: Samples, units: np.ndarray, seed: int, setting: Setting) -> LinearLaw:
        """The linear law of the real labels, the same for every draw; fitted once where there is a cache."""
        k = len(samples.classes)
        n_groups = len(np.unique(samples.groups))
        if n_groups < self.folds:
            raise ControlError(
                f"control.folds: {self.folds} folds need as many groups, there are {n_groups}; use control.folds={n_groups}"
            )
        known = f"{samples.fingerprint()}{setting.top_variance}{self.folds}{seed}{NUMERICS_VERSION}"
        name = f"{hashlib.sha256(known.encode()).hexdigest()[:32]}.npz"
        path = setting.cache / name if setting.cache is not None else None
        if path is not None and path.exists() and (kept := _read(path)) is not None:
            return kept
        shares = np.full(self.folds, 1 / self.folds)
        folds = assign(samples.groups, samples.codes, k, shares, stream(seed, "control", "folds"))
        try:
            law = fit_law(FoldedRows(_standardised(samples, setting), folds, units), samples.codes, k)
        except OptimumError as e:
            raise ControlError(f"control=linear_labels needs a certified linear model of the real labels. {e}") from e
        if path is not None:
            with atomic(path) as temporary, open(temporary, "wb") as f:
                np.savez(f, allow_pickle=False, **{n: getattr(law, n) for n in _KEPT})
        return law


_KEPT = ("logits", "out_of_fold", "relative_penalty", "relative_gradient", "slope")


def _read(path: Path) -> LinearLaw | None:
    """A law that was kept; None for a file that is no whole one, which is then written again."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            kept: dict[str, Any] = {n: arrays[n] if arrays[n].ndim else float(arrays[n]) for n in _KEPT}
            return LinearLaw(**kept)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _standardised(samples: Samples, setting: Setting) -> np.ndarray:
    rows = np.arange(len(samples.codes))
    preparation = fit_preparation(samples.x, rows, top_variance=setting.top_variance, scale="standardise")
    return preparation.apply(samples.x, rows)


def label_units(codes: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What one label belongs to: a group where its label is constant, else the sample.

    :returns: (n,) unit of each sample, 0 … n_units - 1; (n,) bool, whether its unit is a whole group
    """
    low = np.full(groups.max() + 1, np.iinfo(np.int64).max)
    high = np.full(groups.max() + 1, -1)
    np.minimum.at(low, groups, codes)
    np.maximum.at(high, groups, codes)
    whole = (low == high)[groups]
    own = groups.max() + 1 + np.arange(len(codes))
    return np.unique(np.where(whole, groups, own), return_inverse=True)[1], whole


def _random_direction(
    law: LinearLaw, x: np.ndarray, units: np.ndarray, codes: np.ndarray, k: int, random: np.random.Generator
) -> LinearLaw:
    """The same strength, in a direction that has nothing to do with the real labels."""
    logits = x @ random.standard_normal((x.shape[1], k))
    means = np.stack([np.bincount(units, column) for column in logits.T], axis=1) / np.bincount(units)[:, None]
    means -= means.mean(0) + (means - means.mean(0)).mean(1, keepdims=True)
    target = law.logits - law.logits.mean(0)
    per_unit = target[np.unique(units, return_index=True)[1]]
    scaled = means * np.sqrt((per_unit**2).mean() / (means**2).mean())
    return replace(law, logits=with_frequencies(scaled[units], np.bincount(codes, minlength=k) / len(codes)))
