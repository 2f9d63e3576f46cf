"""The fits of a run: which there are, which have a record already, and the run's list of them."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from beyondlinear.experiment.context import RunContext
from beyondlinear.records.completeness import lacks
from beyondlinear.records.keys import fit_key, run_key
from beyondlinear.records.record import FitRecord
from beyondlinear.records.store import is_finished
from beyondlinear.runtime.files import write_json
from beyondlinear.tasks.splits import Fold

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fit:
    """One fold and fraction of a run, and the key of its record.

    pretrained: whether a pretrained model is trained on; None where nothing pretrains.
    """

    fold: Fold
    fraction: float
    key: str
    pretrained: bool | None = None

    @property
    def name(self) -> str:
        """E.g. fold0_fraction1.0, unique in its run."""
        suffix = "" if self.pretrained is None else f"_pretrained_{self.pretrained}".lower()
        return f"fold{self.fold.number}_fraction{self.fraction}{suffix}"


def plan_fits(context: RunContext) -> list[Fit]:
    """Every fit of the run, in the order in which they are made."""
    splitter = context.splitter
    kinds: list[bool | None] = [None] if splitter.pretrain_share is None else [False, True]
    fingerprint = context.data["fingerprint"]
    fits = []
    for fold in splitter.outer(context.samples, context.seed):
        for pretrained in kinds:
            for fraction in sorted(set(splitter.fractions)):
                key = fit_key(context.config, fingerprint, fold, fraction, pretrained)
                fits.append(Fit(fold, float(fraction), key, pretrained))
    names = context.names
    log.info(
        "%s, signal removal %s, split %s: %d fits",
        names["model"],
        names["signal_removal"],
        names["split"],
        len(fits),
    )
    return fits


def list_fits(context: RunContext, fits: Sequence[Fit], directory: Path) -> None:
    """Write the run's list of fits, which says what belongs to it whether it was made or found.

    :raises ResultsError: the directory cannot be written
    """
    listed = [
        {
            "key": fit.key,
            "fold": fit.fold.number,
            "fraction": fit.fraction,
            "pretrained": fit.pretrained,
        }
        for fit in fits
    ]
    listing = {
        "store": str(context.store.root),
        "names": context.names,
        "seed": context.seed,
        "config": context.config,
        "fits": listed,
    }
    write_json(directory / f"fits_{run_key(context.config)}.json", listing)


def found_records(context: RunContext, fits: Sequence[Fit]) -> dict[str, FitRecord]:
    """The finished records that the store holds already, by key. One that lacks what this run asks
    to be kept beside it is not among them: its fit is made again."""
    found = {}
    lacking = []
    for fit in fits:
        record = context.store.get(fit.key)
        if record is None or not is_finished(record):
            continue
        what = lacks(record, context.config, context.store)
        if what is None:
            found[fit.key] = record
        else:
            lacking.append(what)
    if found:
        log.info("%d of %d fits are done already (%s)", len(found), len(fits), context.store.root)
    for what, count in Counter(lacking).items():
        log.info("%d of %d fits are made again: their records lack %s", count, len(fits), what)
    return found
