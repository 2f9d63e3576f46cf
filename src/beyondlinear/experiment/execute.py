"""The fits of a run that are still to be made, one after another, each by one maker."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from beyondlinear.evaluation.audit.row_usage import (
    SampleManifest,
    make_manifest,
    manifest_path,
    read_manifest,
)
from beyondlinear.experiment.context import RunContext
from beyondlinear.experiment.fit import make_fit
from beyondlinear.experiment.plan import Fit
from beyondlinear.records.claims import Claims, wait_for
from beyondlinear.records.completeness import lacks
from beyondlinear.records.record import FitRecord
from beyondlinear.records.store import is_finished
from beyondlinear.records.trackers.tracking import Trackers
from beyondlinear.runtime.progress import FitProgress

log = logging.getLogger(__name__)


def execute(
    context: RunContext, fits: Sequence[Fit], trackers: Trackers, progress: FitProgress
) -> dict[str, FitRecord]:
    """Make these fits and put their records into the store; what another run makes at this time is
    left to it, and waited for at the end.

    :returns: the records by key
    :raises ResultsError: the store cannot be read or written
    """
    if not fits:
        return {}
    context = with_all_samples_seen(context)
    claims = Claims(context.store.root)
    records: dict[str, FitRecord] = {}
    waiting = list(fits)
    while waiting:
        taken_by_others = []
        for fit in waiting:
            with claims.taken(fit.key) as ours:
                if not ours:
                    taken_by_others.append(fit)
                    continue
                made_elsewhere = context.store.get(fit.key)
                if (
                    made_elsewhere is not None
                    and is_finished(made_elsewhere)
                    and lacks(made_elsewhere, context.config, context.store) is None
                ):
                    records[fit.key] = made_elsewhere
                    progress.fit_done(f"{in_one_line(made_elsewhere)} (made by another run)")
                    continue
                logger = trackers.begin(fit.name)
                record = make_fit(context, fit, logger, progress)
                trackers.end_fit(record)
                records[fit.key] = record
                progress.fit_done(in_one_line(record))
        if taken_by_others:
            _wait(claims, taken_by_others)
        waiting = taken_by_others
    return records


def in_one_line(record: FitRecord) -> str:
    """E.g. "fold 0: balanced accuracy 0.912, 24 epochs, 3.1 s"."""
    fold = f"fold {record['fold']}"
    if record["held_out"]:
        fold += f" ({record['held_out']})"
    if record["fraction"] != 1:
        fold += f", fraction {record['fraction']:g}"
    if record["status"] != "done":
        return f"{fold}: {record['status']}: {record['reason']}"
    if record["pretrained"] is not None:
        fold += ", pretrained" if record["pretrained"] else ", not pretrained"
    facts = [f"balanced accuracy {record['metrics']['balanced_accuracy']:.3f}"]
    chosen = record["tuning"].get("chosen", {})
    if chosen:
        facts.append("tuned " + ", ".join(f"{name} {v:.2g}" for name, v in chosen.items()))
    if record["training"].get("epochs"):
        facts.append(f"{record['training']['epochs']} epochs")
    facts.append(f"{record['provenance']['seconds']:.1f} s")
    return f"{fold}: {', '.join(facts)}"


def with_all_samples_seen(context: RunContext) -> RunContext:
    """The context with what is made once over all samples: the audit's manifest of them, then
    signal removal before the split, where the mode has one (it changes the values in place)."""
    manifest = _manifest(context)
    everything = np.arange(len(context.samples.codes))
    rows = context.rows("all", everything, context.samples.x)
    warnings = context.removal.before_split(rows)
    return replace(context, manifest=manifest, warnings=tuple(warnings))


def _manifest(context: RunContext) -> SampleManifest:
    """The manifest of these samples, made once for a data set."""
    path = manifest_path(context.store.root, context.data["fingerprint"])
    if path.exists():
        return read_manifest(path)
    manifest = make_manifest(context.samples)
    manifest.write(path)
    return manifest


def _wait(claims: Claims, fits: Sequence[Fit]) -> None:
    """Until one of the fits that others make is free."""
    maker: Mapping[str, object] = claims.holder(fits[0].key) or {}
    log.info(
        "%d fits are being made by another run (process %s on %s): waiting for it",
        len(fits),
        maker.get("pid"),
        maker.get("host"),
    )
    wait_for(claims, [fit.key for fit in fits])
