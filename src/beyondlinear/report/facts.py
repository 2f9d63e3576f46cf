"""Tables of what was done: data, classes, protocol, audit, confounding, versions."""

import json
from typing import Any

import pandas as pd

from beyondlinear.report.reading import Reading

_PROTOCOL = {
    "split": ("split.name", "split.group", "split.folds", "split.tune_share", "split.column"),
    "preparation": ("scale", "select.top_variance", "dataset.transform"),
    "training": (
        "trainer.max_epochs",
        "trainer.patience",
        "trainer.batch_size",
        "trainer.gradient_clip",
        "trainer.accelerator",
        "trainer.threads",
    ),
    "protocol": ("protocol.name", "protocol.fit_on", "protocol.tuning_once", "protocol.removal_before_subsetting"),
    "tuning": ("tuning.method", "tuning.trials", "tuning.inner_folds"),
    "control": ("control.name", "control.direction", "control.draw"),
    "seed": ("seed",),
}


def _data_sets(reading: Reading) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """panel, data and a record, one for each fingerprint with the real labels."""
    found: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {}
    real = reading.fits[reading.fits.control == "none"]
    for key, panel in zip(real.key, real.panel, strict=True):
        record = reading.records[key]
        data = record.get("data")
        if data:
            found.setdefault(data.get("fingerprint"), (panel, data, record))
    for test in reading.tests:
        name = f"{test['names'].get('dataset')}, {test['names'].get('task')}"
        if test["names"].get("control") in (None, "none"):
            found.setdefault(test["data"].get("fingerprint"), (name, test["data"], test))
    return list(found.values())


def data(reading: Reading) -> pd.DataFrame:
    rows = []
    for panel, found, record in _data_sets(reading):
        dropped = "; ".join(f"{why}: {n}" for why, n in (found.get("dropped") or {}).items()) or "none"
        names = record.get("names", {})
        row = {"panel": panel, "dataset": names.get("dataset"), "task": names.get("task")}
        row |= {"samples": found.get("n_samples"), "groups": found.get("n_groups"), "genes": found.get("n_genes")}
        row |= {
            "classes": len(found.get("classes") or []),
            "dropped": dropped,
            "Bayes accuracy": found.get("bayes_accuracy"),
        }
        rows.append(row | {"fingerprint": found.get("fingerprint")})
    return pd.DataFrame(rows)


def classes(reading: Reading) -> pd.DataFrame:
    """Samples of each class, where a record tells: validation parts of one seed, summed over the folds."""
    rows = []
    done = reading.done
    for panel, fits in done[done.control == "none"].groupby("panel", sort=True):
        first = fits[(fits.learner == fits.learner.iloc[0]) & (fits.signal_removal == fits.signal_removal.iloc[0])]
        first = first[(first.seed == first.seed.iloc[0]) & (first.fraction == first.fraction.max())]
        total: dict[str, int] = {}
        for key in first.key:
            for c, n in ((reading.records[key]["counts"].get("per_class") or {}).get("validation") or {}).items():
                total[c] = total.get(c, 0) + n
        rows += [{"panel": panel, "class": c, "held-out samples": n} for c, n in total.items()]
    return pd.DataFrame(rows)


def confounding(reading: Reading) -> pd.DataFrame:
    rows = []
    for panel, found, _ in _data_sets(reading):
        c = found.get("confounding")
        if c:
            few = min((v["n_groups"] for v in c.get("classes", {}).values()), default=None)
            rows.append(
                {
                    "panel": panel,
                    "Cramér's V, corrected": c.get("cramers_v_corrected"),
                    "Cramér's V": c.get("cramers_v"),
                }
                | {"groups": c.get("n_groups"), "classes in a group": c.get("classes_per_group")}
                | {"share of groups of one class": c.get("one_class_groups"), "groups of the rarest class": few}
            )
    return pd.DataFrame(rows)


def protocol(reading: Reading) -> pd.DataFrame:
    """Settings, each with the values that occur."""
    values: dict[tuple[str, str], set[str]] = {}
    seen: set[int] = set()
    for record in reading.records.values():
        config = record.get("config") or {}
        if id(config) in seen:
            continue
        seen.add(id(config))
        for part, keys in _PROTOCOL.items():
            for key in keys:
                value: Any = config
                for step in key.split("."):
                    value = value.get(step) if isinstance(value, dict) else None
                if value is not None:
                    values.setdefault((part, key), set()).add(value if isinstance(value, str) else json.dumps(value))
    return pd.DataFrame([{"part": p, "key": k, "value": ", ".join(sorted(v))} for (p, k), v in values.items()])


def audit(reading: Reading) -> pd.DataFrame:
    """Findings, each with the number of fits."""
    found: dict[tuple[str, str, str, str], int] = {}
    example: dict[tuple[str, str, str, str], str] = {}
    for fit in reading.done.itertuples():
        for f in reading.records[fit.key].get("audit") or []:
            key = (f.get("severity", ""), f.get("check", ""), fit.panel, f"removal {fit.signal_removal}")
            found[key] = found.get(key, 0) + 1
            example.setdefault(key, f.get("evidence", ""))
    order = {"leak": 0, "caution": 1, "note": 2}
    rows = [
        {"severity": k[0], "check": k[1], "panel": k[2], "where": k[3], "fits": n, "evidence, first": example[k]}
        for k, n in sorted(found.items(), key=lambda item: order.get(item[0][0], 3))
    ]
    return pd.DataFrame(rows)


def audit_line(reading: Reading) -> str:
    done = reading.done
    audited = [k for k in done.key if "audit" in reading.records[k]]
    leaks = sum(any(f.get("severity") == "leak" for f in reading.records[k]["audit"]) for k in audited)
    text = f"{len(audited):,} of {len(done):,} finished fits were audited when they were made: groups that straddle parts, "
    text += "equal or nearly equal profiles, what each fitted step saw, tuning, classes. "
    text += f"A leak was found in {leaks:,} of them." if leaks else "No leak was found." if audited else ""
    return text + " Again, from the files: beyondlinear audit DIR."


def versions(reading: Reading) -> pd.DataFrame:
    """Code, packages, machines and data, with the number of fits."""
    counts: dict[tuple[str, str], int] = {}
    for record in [*reading.records.values(), *reading.tests]:
        where = record.get("circumstances") or {}
        said = {"commit": where.get("commit"), "changed since commit": where.get("changed_since_commit")}
        said |= {"processor": where.get("processor"), "device": where.get("device"), "threads": where.get("threads")}
        said |= where.get("versions") or {}
        said["data fingerprint"] = (record.get("data") or {}).get("fingerprint")
        for key, value in said.items():
            if value is not None:
                counts[key, str(value)] = counts.get((key, str(value)), 0) + 1
    return pd.DataFrame([{"what": k, "value": v, "records": n} for (k, v), n in counts.items()])
