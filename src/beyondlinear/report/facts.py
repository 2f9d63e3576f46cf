"""Tables of what was done: data, classes, protocol, audit, confounding, versions."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from beyondlinear.records.record import ComposedConfig, DataRecord, FitRecord
from beyondlinear.report.reading import GatheredFits, ResidualTestRecord

_PROTOCOL = {
    "split": ("split.name", "split.group", "split.folds", "split.validation_share", "split.column"),
    "preparation": ("scale", "select.top_variance", "dataset.transform"),
    "training": (
        "trainer.max_epochs",
        "trainer.patience",
        "trainer.batch_size",
        "trainer.gradient_clip",
        "trainer.accelerator",
        "trainer.threads",
    ),
    "protocol": (
        "protocol.name",
        "protocol.fit_on",
        "protocol.tuning_once",
        "protocol.removal_before_subsetting",
    ),
    "tuning": ("tuning.method", "tuning.trials", "tuning.inner_folds"),
    "control": ("control.name", "control.direction", "control.draw"),
    "seed": ("seed",),
}
_SEVERITIES = ("leak", "caution", "note")  # the gravest first


@dataclass(frozen=True)
class _DataSet:
    """One set of samples with the real labels, and the choices of the first record on it."""

    panel: str
    data: DataRecord
    names: Mapping[str, str]


def _data_sets(gathered: GatheredFits) -> list[_DataSet]:
    """One for each fingerprint."""
    found: dict[str | None, _DataSet] = {}
    real = gathered.fits[gathered.fits.control == "none"]
    for key, panel in zip(real.key, real.panel, strict=True):
        record = gathered.records[key]
        data = record.get("data")
        if data:
            data_set = _DataSet(panel, data, record.get("names", {}))
            found.setdefault(data.get("fingerprint"), data_set)
    for test in gathered.tests:
        names = test["names"]
        if names.get("control") in (None, "none"):
            panel = f"{names.get('dataset')}, {names.get('task')}"
            data_set = _DataSet(panel, test["data"], names)
            found.setdefault(test["data"].get("fingerprint"), data_set)
    return list(found.values())


def data(gathered: GatheredFits) -> pd.DataFrame:
    """The samples that were asked about, one row a data set."""
    rows = []
    for data_set in _data_sets(gathered):
        described = data_set.data
        dropped = described.get("dropped") or {}
        rows.append(
            {
                "panel": data_set.panel,
                "dataset": data_set.names.get("dataset"),
                "task": data_set.names.get("task"),
                "samples": described.get("n_samples"),
                "groups": described.get("n_groups"),
                "genes": described.get("n_genes"),
                "classes": len(described.get("classes") or []),
                "dropped": "; ".join(f"{why}: {n}" for why, n in dropped.items()) or "none",
                "Bayes accuracy": described.get("bayes_accuracy"),
                "fingerprint": described.get("fingerprint"),
            }
        )
    return pd.DataFrame(rows)


def classes(gathered: GatheredFits) -> pd.DataFrame:
    """Samples of each class, where a record tells: test parts of one seed, summed over the
    folds."""
    rows = []
    done = gathered.done
    for panel, fits in done[done.control == "none"].groupby("panel", sort=True):
        first = fits[
            (fits.learner == fits.learner.iloc[0])
            & (fits.signal_removal == fits.signal_removal.iloc[0])
        ]
        first = first[(first.seed == first.seed.iloc[0]) & (first.fraction == first.fraction.max())]
        total: Counter[str] = Counter()
        for key in first.key:
            per_class = gathered.records[key]["counts"].get("per_class") or {}
            total.update(per_class.get("test") or {})
        for name, n in total.items():
            rows.append({"panel": panel, "class": name, "held-out samples": n})
    return pd.DataFrame(rows)


def confounding(gathered: GatheredFits) -> pd.DataFrame:
    """How far the group gives the label away, one row a data set with groups."""
    rows = []
    for data_set in _data_sets(gathered):
        found = data_set.data.get("confounding")
        if not found:
            continue
        n_groups = [of_class["n_groups"] for of_class in found.get("classes", {}).values()]
        rows.append(
            {
                "panel": data_set.panel,
                "Cramér's V, corrected": found.get("cramers_v_corrected"),
                "Cramér's V": found.get("cramers_v"),
                "groups": found.get("n_groups"),
                "classes in a group": found.get("classes_per_group"),
                "share of groups of one class": found.get("one_class_groups"),
                "groups of the rarest class": min(n_groups, default=None),
            }
        )
    return pd.DataFrame(rows)


def protocol(gathered: GatheredFits) -> pd.DataFrame:
    """Settings, each with the values that occur."""
    values: dict[tuple[str, str], set[str]] = {}
    # the fits of a run share one config, as the same object
    configs = {id(r["config"]): r["config"] for r in gathered.records.values() if r.get("config")}
    for config in configs.values():
        for part, keys in _PROTOCOL.items():
            for key in keys:
                value = _setting(config, key)
                if value is not None:
                    text = value if isinstance(value, str) else json.dumps(value)
                    values.setdefault((part, key), set()).add(text)
    rows = []
    for (part, key), texts in values.items():
        rows.append({"part": part, "key": key, "value": ", ".join(sorted(texts))})
    return pd.DataFrame(rows)


def _setting(config: ComposedConfig, key: str) -> object:
    """The value of a dotted key, None where it is not there."""
    value: object = config
    for step in key.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def audit(gathered: GatheredFits) -> pd.DataFrame:
    """Findings, each with the number of fits."""
    n_fits: Counter[tuple[str, str, str, str]] = Counter()
    first_evidence: dict[tuple[str, str, str, str], str] = {}
    for fit in gathered.done.itertuples():
        for finding in gathered.records[fit.key].get("audit") or []:
            severity, check = finding.get("severity", ""), finding.get("check", "")
            kind = (severity, check, fit.panel, f"removal {fit.signal_removal}")
            n_fits[kind] += 1
            first_evidence.setdefault(kind, finding.get("evidence", ""))
    rows = []
    for kind in sorted(n_fits, key=lambda kind: _rank(kind[0])):
        severity, check, panel, where = kind
        rows.append(
            {
                "severity": severity,
                "check": check,
                "panel": panel,
                "where": where,
                "fits": n_fits[kind],
                "evidence, first": first_evidence[kind],
            }
        )
    return pd.DataFrame(rows)


def _rank(severity: str) -> int:
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)


def audit_line(gathered: GatheredFits) -> str:
    """What was audited, and whether a leak was found."""
    done = gathered.done
    n_audited = sum("audit" in gathered.records[key] for key in done.key)
    n_leaks = gathered.leaks(done)
    text = (
        f"{n_audited:,} of {len(done):,} finished fits were audited when they were made: groups"
        " that straddle parts, equal or nearly equal profiles, what each fitted step saw, tuning,"
        " classes."
    )
    if n_leaks:
        text += f" A leak was found in {n_leaks:,} of them."
    elif n_audited:
        text += " No leak was found."
    return f"{text} Again, from the files: beyondlinear audit DIR."


def versions(gathered: GatheredFits) -> pd.DataFrame:
    """Code, packages, machines and data, with the number of records."""
    counts: Counter[tuple[str, str]] = Counter()
    records: list[FitRecord | ResidualTestRecord] = [*gathered.records.values(), *gathered.tests]
    for record in records:
        counts.update((what, str(value)) for what, value in _origin(record).items())
    rows = [{"what": k, "value": value, "records": n} for (k, value), n in counts.items()]
    return pd.DataFrame(rows)


def _origin(record: FitRecord | ResidualTestRecord) -> dict[str, object]:
    """What a record says of where it comes from, in the order of the table."""
    provenance = record.get("provenance") or {}
    said: dict[str, object] = {
        "commit": provenance.get("commit"),
        "changed since commit": provenance.get("changed_since_commit"),
        "processor": provenance.get("processor"),
        "device": provenance.get("device"),
        "threads": provenance.get("threads"),
    }
    said.update(provenance.get("versions") or {})
    said["data fingerprint"] = (record.get("data") or {}).get("fingerprint")
    return {what: value for what, value in said.items() if value is not None}
