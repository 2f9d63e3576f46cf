"""Leakage audit: what each part held and each fitted step saw, read from what was written down,
never from the config.

A leak means that test samples, or copies or relatives of them, took part in making the model. A
caution weakens a result or its reading without touching the test part. A note says what a reader
must know.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from beyondlinear.evaluation.audit.row_usage import PARTS, THINNED, RowUsageLog, SampleManifest
from beyondlinear.records.record import FitRecord
from beyondlinear.tasks.duplicates import FEWEST_GENES, NEAR, NOT_SEARCHED, shared_duplicates

Severity = Literal["leak", "caution", "note"]
SEVERITIES: tuple[Severity, ...] = ("leak", "caution", "note")

# the parts that a step may learn from; stopping, calibration, penalty and tuning may see all but
# test
MAY_SEE = {
    "preparation": ("train", "pretraining train", THINNED),
    "class weights": ("train",),
    "weights": ("train", "pretraining train"),
    "pretraining": ("pretraining train", "pretraining validation"),
    "removal": ("train", "pretraining train", THINNED),
}
SELECTS = ("stopping", "calibration", "penalty", "tuning")
USES_LABELS_OF_EVERY_ROW = {
    "every part": (
        "oracle labels: signal was removed from each part with the part's own labels, those of test"
        " included"
    ),
    "all samples": (
        "oracle labels: class means over all samples, test included, were removed before the split"
    ),
}


@dataclass(frozen=True)
class Finding:
    """One thing that the audit found; `evidence` is one line with counts and sample ids."""

    severity: Severity
    check: str
    evidence: str


def audit_fit(
    record: FitRecord,
    row_usage: RowUsageLog,
    manifest: SampleManifest,
    predictions: Mapping[str, np.ndarray] | None = None,
) -> list[Finding]:
    """What is wrong with a done fit, leaks first; empty for a clean one.

    :param predictions: sample_id, code and scores as stored: those of the test part, with the
        labels of the manifest and the balanced accuracy of the record
    """
    if row_usage.n_samples != len(manifest.sample_ids):
        sizes = (
            f"the row usage log is over {row_usage.n_samples} samples, the manifest over"
            f" {len(manifest.sample_ids)}"
        )
        return [Finding("leak", "record changed", sizes)]
    findings = [
        *_straddling(row_usage, manifest),
        *_duplicates(row_usage, manifest, "exact"),
        *_duplicates(row_usage, manifest, "near"),
        *_steps(record, row_usage, manifest),
        *_changed(record, row_usage, manifest),
        *_predictions_changed(record, row_usage, manifest, predictions),
        *_not_searched(manifest),
        *_not_written_down(record, row_usage),
        *_absent_classes(row_usage, manifest),
        *_tuned_elsewhere(record),
        *_removal(record),
    ]
    return sorted(findings, key=lambda f: SEVERITIES.index(f.severity))


def findings_of(record: FitRecord) -> list[Finding]:
    """The findings that a record holds."""
    return [
        Finding(cast(Severity, found["severity"]), found["check"], found["evidence"])
        for found in record.get("audit", [])
    ]


def summarise(findings: Sequence[Sequence[Finding]]) -> list[str]:
    """One line for each kind of finding over the given fits, leaks first."""
    kinds: dict[tuple[Severity, str], list[tuple[int, str]]] = defaultdict(list)
    for number, of_fit in enumerate(findings):
        for f in of_fit:
            kinds[f.severity, f.check].append((number, f.evidence))
    lines = []
    for severity, check in sorted(kinds, key=lambda kind: SEVERITIES.index(kind[0])):
        fits, evidence = map(set, zip(*kinds[severity, check], strict=True))
        example = kinds[severity, check][0][1]
        share = f"({len(fits)} of {_n(len(findings), 'fit')})"
        lines.append(
            f"{severity:<7}  {check}  {share}  {'e.g. ' if len(evidence) > 1 else ''}{example}"
        )
    return lines


def clean_line(n_fits: int) -> str:
    return (
        f"audit: no leak found in {_n(n_fits, 'fit')} (groups, duplicates, fitted steps, classes,"
        " selection, tuning)"
    )


def _pairs(row_usage: RowUsageLog) -> Iterator[tuple[Severity, str, str, np.ndarray, np.ndarray]]:
    """Every two parts: how bad it is if they share something, their names, their rows."""
    for a, b in itertools.combinations(PARTS, 2):
        severity: Severity = "leak" if "test" in (a, b) else "caution"
        yield severity, a, b, row_usage.rows("part", a), row_usage.rows("part", b)


def _straddling(row_usage: RowUsageLog, manifest: SampleManifest) -> Iterator[Finding]:
    for severity, a, b, in_a, in_b in _pairs(row_usage):
        groups = np.intersect1d(manifest.groups[in_a], manifest.groups[in_b])
        if not len(groups):
            continue
        torn_a = in_a[np.isin(manifest.groups[in_a], groups)]
        torn_b = in_b[np.isin(manifest.groups[in_b], groups)]
        relative = torn_b[manifest.groups[torn_b] == manifest.groups[torn_a[0]]][0]
        n_both = len(np.intersect1d(in_a, in_b))
        in_both = f", {n_both} of them in both" if n_both else ""
        evidence = (
            f"{a} and {b} share {_n(len(groups), 'group')} ({len(torn_a)} and {len(torn_b)}"
            f" samples{in_both}), e.g. {_pair(manifest, torn_a[0], a, relative, b)}"
        )
        yield Finding(severity, "groups straddle", evidence)


def _duplicates(
    row_usage: RowUsageLog, manifest: SampleManifest, kind: Literal["exact", "near"]
) -> Iterator[Finding]:
    """Duplicates in two parts and in different groups; where the group is the same, it straddles
    and is found as such."""
    sets = manifest.exact if kind == "exact" else manifest.near
    profiles = None if kind == "exact" else manifest.exact
    verb = "are equal" if kind == "exact" else f"correlate above {NEAR}"
    for severity, a, b, in_a, in_b in _pairs(row_usage):
        found = shared_duplicates(sets, manifest.groups, in_a, in_b, unlike=profiles)
        if found is not None:
            rows = np.union1d(found.of_a, found.of_b)
            labelled = np.unique(np.stack([sets[rows], manifest.codes[rows]]), axis=1)
            n_labels = np.unique(labelled[0], return_counts=True)[1]  # of each set
            i, j = found.example
            yield Finding(
                severity,
                f"{kind} duplicates across parts",
                f"{len(found.of_a)} {a} and {len(found.of_b)} {b} samples of different groups"
                f" {verb}, e.g. {_pair(manifest, i, a, j, b)}; labels agree in"
                f" {(n_labels == 1).sum()} of {_n(len(n_labels), 'set')}",
            )


def _steps(
    record: FitRecord, row_usage: RowUsageLog, manifest: SampleManifest
) -> Iterator[Finding]:
    test = row_usage.rows("part", "test")
    for step in row_usage.names("step"):
        used = row_usage.rows("step", step)
        if step == "removal" and labels_of(record) in USES_LABELS_OF_EVERY_ROW:
            used = np.setdiff1d(used, test)  # a finding of its own
        leaked = np.intersect1d(used, test)
        allowed = [row_usage.rows("part", part) for part in MAY_SEE.get(step, ())]
        outside = np.setdiff1d(used, np.concatenate([*allowed, test])) if allowed else used[:0]
        if not len(leaked) and not len(outside):
            continue
        seen = [f"{len(leaked)} of {_n(len(test), 'test sample')}"] if len(leaked) else []
        seen += [_n(count, f"{part} sample") for part, count in row_usage.parts_of(outside).items()]
        examples = _some(manifest.sample_ids[leaked if len(leaked) else outside])
        evidence = f"{step} saw {' and '.join(seen)}, e.g. {examples}"
        if step == "preparation":
            evidence += _by_protocol(record, "fit_on", "all")
        if step == "removal":
            evidence += _by_protocol(record, "removal_before_subsetting", True)
        check = "selection on test" if step in SELECTS else "fitted outside the train part"
        yield Finding("leak" if len(leaked) else "caution", check, evidence)


def _absent_classes(row_usage: RowUsageLog, manifest: SampleManifest) -> Iterator[Finding]:
    for part in ("train", "validation", "test"):
        rows = row_usage.rows("part", part)
        n_of_class = np.bincount(manifest.codes[rows], minlength=len(manifest.classes))
        absent = np.flatnonzero(n_of_class == 0)
        if len(rows) and len(absent):
            names = ", ".join(repr(manifest.classes[c]) for c in absent[:5])
            names += ", …" if len(absent) > 5 else ""
            evidence = (
                f"{part} has no sample of {_n(len(absent), 'class')} of {len(manifest.classes)}:"
                f" {names}"
            )
            yield Finding("caution", "classes absent", evidence)


def _tuned_elsewhere(record: FitRecord) -> Iterator[Finding]:
    tuning = record.get("tuning")
    if not tuning or tuning.get("method", "none") == "none":
        return
    tuned_removal, tuned_fraction = tuning.get("signal_removal"), tuning.get("fraction")
    removal, fraction = record["names"]["signal_removal"], record["fraction"]
    if (tuned_removal, tuned_fraction) == (removal, fraction):
        return
    evidence = (
        f"hyperparameters were chosen with signal_removal={tuned_removal} at fraction"
        f" {tuned_fraction} and used with signal_removal={removal} at fraction {fraction}"
    )
    evidence += _by_protocol(record, "tuning_once", True)
    other_removal = tuned_removal != removal
    check = "tuned on another removal" if other_removal else "tuned at another fraction"
    yield Finding("caution", check, evidence)


def _removal(record: FitRecord) -> Iterator[Finding]:
    whose = labels_of(record)
    if whose in USES_LABELS_OF_EVERY_ROW:
        name = record["names"]["signal_removal"]
        yield Finding(
            "leak" if whose == "all samples" else "note",
            f"removal={name}",
            USES_LABELS_OF_EVERY_ROW[whose],
        )


def labels_of(record: FitRecord) -> str:
    """Whose labels the removal read, as it said itself when it was applied."""
    removal = record.get("removal")
    return "nobody" if removal is None else removal["labels_of"]


def _changed(
    record: FitRecord, row_usage: RowUsageLog, manifest: SampleManifest
) -> Iterator[Finding]:
    """The record's hashes and counts against the row usage log and the manifest."""
    differing = row_usage.differences(record.get("row_usage"), manifest.sample_ids)
    if differing:
        shown = ", ".join(differing[:3])
        if len(differing) > 3:
            shown += f", … ({len(differing)} in all)"
        evidence = (
            "the record's hash of sample ids does not fit the row usage log and the manifest:"
            f" {shown}"
        )
        yield Finding("leak", "record changed", evidence)
    for part in ("train", "validation", "test"):
        count = dict(record.get("counts") or {}).get(f"n_{part}")
        rows = row_usage.rows("part", part)
        if isinstance(count, int) and count != len(rows):
            evidence = (
                f"the record counts {_n(count, f'{part} sample')}, the row usage log {len(rows)}"
            )
            yield Finding("leak", "record changed", evidence)


def _predictions_changed(
    record: FitRecord,
    row_usage: RowUsageLog,
    manifest: SampleManifest,
    predictions: Mapping[str, np.ndarray] | None,
) -> Iterator[Finding]:
    """The stored predictions against the test part, its labels and the record's balanced
    accuracy."""
    if predictions is None:
        return
    rows = row_usage.rows("part", "test")
    scored, codes, scores = predictions["sample_id"], predictions["code"], predictions["scores"]
    strangers = np.setdiff1d(scored, manifest.sample_ids[rows])
    if len(strangers):
        evidence = (
            f"{_n(len(strangers), 'prediction')} of samples that are not in test, e.g."
            f" {_some(strangers)}"
        )
        yield Finding("leak", "record changed", evidence)
        return
    ids, labels = manifest.sample_ids[rows].tolist(), manifest.codes[rows].tolist()
    truth = dict(zip(ids, labels, strict=True))
    other = np.array([truth[i] for i in scored.tolist()], dtype=np.int64) != codes
    if other.any():
        evidence = (
            f"{_n(int(other.sum()), 'prediction')} with another label than the sample's, e.g."
            f" {_some(scored[other])}"
        )
        yield Finding("leak", "record changed", evidence)
    right = scores.argmax(1) == codes
    again = float(np.mean([right[codes == c].mean() for c in np.unique(codes)]))
    said = record.get("metrics", {}).get("balanced_accuracy")
    if said is None or abs(again - said) > 1e-6:
        evidence = (
            f"the record's balanced accuracy is {said}, that of its stored scores {again:.6f}"
        )
        yield Finding("leak", "record changed", evidence)


def _not_searched(manifest: SampleManifest) -> Iterator[Finding]:
    if (manifest.near == NOT_SEARCHED).any():
        evidence = (
            f"fewer than {FEWEST_GENES} genes vary and unrelated profiles are alike: exact copies"
            " alone were searched"
        )
        yield Finding("note", "near duplicates not searched", evidence)


def _not_written_down(record: FitRecord, row_usage: RowUsageLog) -> Iterator[Finding]:
    needed = [("part", "train"), ("part", "test"), ("step", "weights")]
    if record.get("config", {}).get("scale", "none") != "none":
        needed.append(("step", "preparation"))
    missing = [f"{kind} {name}" for kind, name in needed if not len(row_usage.rows(kind, name))]
    if missing:
        evidence = (
            f"the row usage log has no rows of {', '.join(missing)}: not all could be checked"
        )
        yield Finding("caution", "not written down", evidence)
    train, weights = row_usage.rows("part", "train"), row_usage.rows("step", "weights")
    unseen = np.setdiff1d(train, weights)
    if len(weights) and len(unseen):
        evidence = f"weights saw {len(train) - len(unseen)} of {_n(len(train), 'train sample')}"
        yield Finding("caution", "not written down", evidence)


def _by_protocol(record: FitRecord, key: str, value: object) -> str:
    protocol = record.get("config", {}).get("protocol", {})
    if protocol.get(key) != value:
        return ""
    return f" (a choice of protocol={record['names']['protocol']})"


def _pair(manifest: SampleManifest, i: int, part_i: str, j: int, part_j: str) -> str:
    return f"{manifest.sample_ids[i]} ({part_i}) and {manifest.sample_ids[j]} ({part_j})"


def _some(sample_ids: Sequence[str] | np.ndarray) -> str:
    return ", ".join(map(str, sample_ids[:3]))


def _n(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}{'es' if noun.endswith('s') else 's'}"
