"""Leakage audit: what each part held and each fitted step saw, read from what was written down, never from the config.

A leak means that validation samples, or copies or relatives of them, took part in making the model. A caution weakens a
result or its reading without touching the validation part. A note says what a reader must know.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from beyondlinear.duplicates import FEWEST_GENES, NEAR, NOT_SEARCHED, across
from beyondlinear.ledger import PARTS, THINNED, Ledger, Sheet

Severity = Literal["leak", "caution", "note"]
SEVERITIES: tuple[Severity, ...] = ("leak", "caution", "note")

# the parts that a step may learn from; stopping, calibration, penalty and tuning may see all but validation
MAY_SEE = {
    "preparation": ("fit", "pretraining fit", THINNED),
    "class weights": ("fit",),
    "weights": ("fit", "pretraining fit"),
    "pretraining": ("pretraining fit", "pretraining tune"),
    "removal": ("fit", "pretraining fit", THINNED),
}
SELECTS = ("stopping", "calibration", "penalty", "tuning")
USES_LABELS_OF_EVERY_ROW = {
    "every part": "oracle labels: signal was removed from each part with the part's own labels, those of validation included",
    "all samples": "oracle labels: class means over all samples, validation included, were removed before the split",
}


@dataclass(frozen=True)
class Finding:
    """One thing that the audit found; `evidence` is one line with counts and sample ids."""

    severity: Severity
    check: str
    evidence: str


def audit_fit(
    record: dict[str, Any], ledger: Ledger, sheet: Sheet, predictions: Mapping[str, np.ndarray] | None = None
) -> list[Finding]:
    """What is wrong with a done fit, leaks first; empty for a clean one.

    :param predictions: sample_id, code and scores as stored: those of the validation part, with the labels of the sheet and
        the balanced accuracy of the record
    """
    if ledger.n_samples != len(sheet.sample_ids):
        sizes = f"the ledger is over {ledger.n_samples} samples, the sheet over {len(sheet.sample_ids)}"
        return [Finding("leak", "record changed", sizes)]
    findings = [
        *_straddling(ledger, sheet),
        *_duplicates(ledger, sheet, "exact"),
        *_duplicates(ledger, sheet, "near"),
        *_steps(record, ledger, sheet),
        *_changed(record, ledger, sheet),
        *_predictions_changed(record, ledger, sheet, predictions),
        *_not_searched(sheet),
        *_not_written_down(record, ledger),
        *_absent_classes(ledger, sheet),
        *_tuned_elsewhere(record),
        *_removal(record),
    ]
    return sorted(findings, key=lambda f: SEVERITIES.index(f.severity))


def summarise(findings: Sequence[Sequence[Finding]]) -> list[str]:
    """One line for each kind of finding over the given fits, leaks first."""
    kinds: dict[tuple[Severity, str], list[tuple[int, str]]] = defaultdict(list)
    for fit, of_fit in enumerate(findings):
        for f in of_fit:
            kinds[f.severity, f.check].append((fit, f.evidence))
    lines = []
    for severity, check in sorted(kinds, key=lambda kind: SEVERITIES.index(kind[0])):
        fits, evidence = map(set, zip(*kinds[severity, check], strict=True))
        example = kinds[severity, check][0][1]
        share = f"({len(fits)} of {_n(len(findings), 'fit')})"
        lines.append(f"{severity:<7}  {check}  {share}  {'e.g. ' if len(evidence) > 1 else ''}{example}")
    return lines


def clean_line(n_fits: int) -> str:
    return f"audit: no leak found in {_n(n_fits, 'fit')} (groups, duplicates, fitted steps, classes, selection, tuning)"


def _pairs(ledger: Ledger) -> Iterator[tuple[Severity, str, str, np.ndarray, np.ndarray]]:
    for a, b in itertools.combinations(PARTS, 2):
        yield "leak" if "validation" in (a, b) else "caution", a, b, ledger.rows("part", a), ledger.rows("part", b)


def _straddling(ledger: Ledger, sheet: Sheet) -> Iterator[Finding]:
    for severity, a, b, in_a, in_b in _pairs(ledger):
        groups = np.intersect1d(sheet.groups[in_a], sheet.groups[in_b])
        if len(groups):
            torn_a, torn_b = (rows[np.isin(sheet.groups[rows], groups)] for rows in (in_a, in_b))
            relative = torn_b[sheet.groups[torn_b] == sheet.groups[torn_a[0]]][0]
            both = len(np.intersect1d(in_a, in_b))
            evidence = (
                f"{a} and {b} share {_n(len(groups), 'group')} ({len(torn_a)} and {len(torn_b)} samples"
                f"{f', {both} of them in both' if both else ''}), e.g. {_pair(sheet, torn_a[0], a, relative, b)}"
            )
            yield Finding(severity, "groups straddle", evidence)


def _duplicates(ledger: Ledger, sheet: Sheet, kind: Literal["exact", "near"]) -> Iterator[Finding]:
    """Duplicates in two parts and in different groups; where the group is the same, it straddles and is found as such."""
    sets = sheet.exact if kind == "exact" else sheet.near
    profiles = None if kind == "exact" else sheet.exact
    verb = "are equal" if kind == "exact" else f"correlate above {NEAR}"
    for severity, a, b, in_a, in_b in _pairs(ledger):
        found = across(sets, sheet.groups, in_a, in_b, unlike=profiles)
        if found is not None:
            rows = np.union1d(found.of_a, found.of_b)
            labelled = np.unique(np.stack([sets[rows], sheet.codes[rows]]), axis=1)
            n_labels = np.unique(labelled[0], return_counts=True)[1]  # of each set
            i, j = found.example
            yield Finding(
                severity,
                f"{kind} duplicates across parts",
                f"{len(found.of_a)} {a} and {len(found.of_b)} {b} samples of different groups {verb}, e.g. "
                f"{_pair(sheet, i, a, j, b)}; labels agree in {(n_labels == 1).sum()} of {_n(len(n_labels), 'set')}",
            )


def _steps(record: dict[str, Any], ledger: Ledger, sheet: Sheet) -> Iterator[Finding]:
    validation = ledger.rows("part", "validation")
    for step in ledger.names("step"):
        saw = ledger.rows("step", step)
        if step == "removal" and labels_of(record) in USES_LABELS_OF_EVERY_ROW:
            saw = np.setdiff1d(saw, validation)  # a finding of its own
        leaked = np.intersect1d(saw, validation)
        allowed = [ledger.rows("part", part) for part in MAY_SEE.get(step, ())]
        outside = np.setdiff1d(saw, np.concatenate([*allowed, validation])) if allowed else saw[:0]
        if not len(leaked) and not len(outside):
            continue
        seen = [f"{len(leaked)} of {_n(len(validation), 'validation sample')}"] if len(leaked) else []
        seen += [_n(count, f"{part} sample") for part, count in ledger.parts_of(outside).items()]
        yield Finding(
            "leak" if len(leaked) else "caution",
            "selection on validation" if step in SELECTS else "fitted outside the fit part",
            f"{step} saw {' and '.join(seen)}, e.g. {_some(sheet.sample_ids[leaked if len(leaked) else outside])}"
            + (_by_protocol(record, "fit_on", "all") if step == "preparation" else "")
            + (_by_protocol(record, "removal_before_subsetting", True) if step == "removal" else ""),
        )


def _absent_classes(ledger: Ledger, sheet: Sheet) -> Iterator[Finding]:
    for part in ("fit", "tune", "validation"):
        rows = ledger.rows("part", part)
        absent = np.flatnonzero(np.bincount(sheet.codes[rows], minlength=len(sheet.classes)) == 0)
        if len(rows) and len(absent):
            names = ", ".join(repr(sheet.classes[c]) for c in absent[:5]) + (", …" if len(absent) > 5 else "")
            evidence = f"{part} has no sample of {_n(len(absent), 'class')} of {len(sheet.classes)}: {names}"
            yield Finding("caution", "classes absent", evidence)


def _tuned_elsewhere(record: dict[str, Any]) -> Iterator[Finding]:
    tuning = record.get("tuning") or {}
    if tuning.get("method", "none") == "none":
        return
    tuned = tuning.get("signal_removal"), tuning.get("fraction")
    used = record["names"]["signal_removal"], record["fraction"]
    if tuned != used:
        evidence = (
            f"hyperparameters were chosen with signal_removal={tuned[0]} at fraction {tuned[1]} and used with "
            f"signal_removal={used[0]} at fraction {used[1]}{_by_protocol(record, 'tuning_once', True)}"
        )
        check = "tuned on another removal" if tuned[0] != used[0] else "tuned at another fraction"
        yield Finding("caution", check, evidence)


def _removal(record: dict[str, Any]) -> Iterator[Finding]:
    whose = labels_of(record)
    if whose in USES_LABELS_OF_EVERY_ROW:
        name = record["names"]["signal_removal"]
        yield Finding("leak" if whose == "all samples" else "note", f"removal={name}", USES_LABELS_OF_EVERY_ROW[whose])


def labels_of(record: dict[str, Any]) -> str:
    """Whose labels the removal read, as it said itself when it was applied."""
    return str((record.get("removal") or {}).get("labels_of", "nobody"))


def _changed(record: dict[str, Any], ledger: Ledger, sheet: Sheet) -> Iterator[Finding]:
    """The record's hashes and counts against the ledger and the sheet."""
    differing = ledger.differences(record.get("ledger") or {}, sheet.sample_ids)
    if differing:
        shown = ", ".join(differing[:3]) + (f", … ({len(differing)} in all)" if len(differing) > 3 else "")
        evidence = f"the record's hash of sample ids does not fit the ledger and the sheet: {shown}"
        yield Finding("leak", "record changed", evidence)
    for part in ("fit", "tune", "validation"):
        count, rows = record.get("counts", {}).get(f"n_{part}"), ledger.rows("part", part)
        if count is not None and count != len(rows):
            evidence = f"the record counts {_n(count, f'{part} sample')}, the ledger {len(rows)}"
            yield Finding("leak", "record changed", evidence)


def _predictions_changed(
    record: dict[str, Any], ledger: Ledger, sheet: Sheet, predictions: Mapping[str, np.ndarray] | None
) -> Iterator[Finding]:
    """The stored predictions against the validation part, its labels and the record's balanced accuracy."""
    if predictions is None:
        return
    rows = ledger.rows("part", "validation")
    scored, codes, scores = (predictions[k] for k in ("sample_id", "code", "scores"))
    strangers = np.setdiff1d(scored, sheet.sample_ids[rows])
    if len(strangers):
        evidence = f"{_n(len(strangers), 'prediction')} of samples that are not in validation, e.g. {_some(strangers)}"
        yield Finding("leak", "record changed", evidence)
        return
    truth = dict(zip(sheet.sample_ids[rows].tolist(), sheet.codes[rows].tolist(), strict=True))
    other = np.array([truth[i] for i in scored.tolist()], dtype=np.int64) != codes
    if other.any():
        evidence = (
            f"{_n(int(other.sum()), 'prediction')} with another label than the sample's, e.g. {_some(scored[other])}"
        )
        yield Finding("leak", "record changed", evidence)
    right = scores.argmax(1) == codes
    again = float(np.mean([right[codes == c].mean() for c in np.unique(codes)]))
    said = record.get("metrics", {}).get("balanced_accuracy")
    if said is None or abs(again - said) > 1e-6:
        evidence = f"the record's balanced accuracy is {said}, that of its stored scores {again:.6f}"
        yield Finding("leak", "record changed", evidence)


def _not_searched(sheet: Sheet) -> Iterator[Finding]:
    if (sheet.near == NOT_SEARCHED).any():
        evidence = (
            f"fewer than {FEWEST_GENES} genes vary and unrelated profiles are alike: exact copies alone were searched"
        )
        yield Finding("note", "near duplicates not searched", evidence)


def _not_written_down(record: dict[str, Any], ledger: Ledger) -> Iterator[Finding]:
    needed = [("part", "fit"), ("part", "validation"), ("step", "weights")]
    if record.get("config", {}).get("scale", "none") != "none":
        needed.append(("step", "preparation"))
    missing = [f"{kind} {name}" for kind, name in needed if not len(ledger.rows(kind, name))]
    if missing:
        evidence = f"the ledger has no rows of {', '.join(missing)}: not all could be checked"
        yield Finding("caution", "not written down", evidence)
    fit, weights = ledger.rows("part", "fit"), ledger.rows("step", "weights")
    unseen = np.setdiff1d(fit, weights)
    if len(weights) and len(unseen):
        evidence = f"weights saw {len(fit) - len(unseen)} of {_n(len(fit), 'fit sample')}"
        yield Finding("caution", "not written down", evidence)


def _by_protocol(record: dict[str, Any], key: str, value: object) -> str:
    protocol = record.get("config", {}).get("protocol", {})
    return f" (a choice of protocol={record['names']['protocol']})" if protocol.get(key) == value else ""


def _pair(sheet: Sheet, i: int, part_i: str, j: int, part_j: str) -> str:
    return f"{sheet.sample_ids[i]} ({part_i}) and {sheet.sample_ids[j]} ({part_j})"


def _some(sample_ids: Sequence[str] | np.ndarray) -> str:
    return ", ".join(map(str, sample_ids[:3]))


def _n(count: int, noun: str) -> str:
    return f"{count} {noun if count == 1 else noun + ('es' if noun.endswith('s') else 's')}"
