"""Fits that were made up for the audit: a sound one, and what can be planted in it."""

import json

import numpy as np

from beyondlinear.evaluation.audit.row_usage import RowUsageLog, SampleManifest

# s0 … s15 of classes A, B, A, B …; two samples a group: s0 and s1 are group 0, s2 and s3 group 1 …
NO_SETS, IDS = np.full(16, -1), np.array([f"s{i}" for i in range(16)])
SHEET = SampleManifest(
    IDS, np.arange(16) // 2, np.arange(16) % 2, ["A", "B"], exact=NO_SETS, near=NO_SETS
)
FIT, TUNE, VALIDATION = [0, 1, 2, 3, 4, 5], [6, 7, 8, 9], [10, 11, 12, 13]
PARTS = {"train": FIT, "validation": TUNE, "test": VALIDATION}
# every sample of test is scored right
PREDICTIONS = {
    "sample_id": IDS[VALIDATION],
    "code": np.array([0, 1, 0, 1]),
    "scores": np.eye(2)[[0, 1, 0, 1]],
}
STEPS = {
    "preparation": FIT,
    "class weights": FIT,
    "weights": FIT,
    "stopping": TUNE,
    "calibration": TUNE,
}


def row_usage_of(parts: dict[str, list[int]], steps: dict[str, list[int]]) -> RowUsageLog:
    row_usage = RowUsageLog(16)
    for name, rows in parts.items():
        row_usage.part(name, np.array(rows))
    for name, rows in steps.items():
        row_usage.step(name, np.array(rows))
    return row_usage


def record_of(rows: RowUsageLog, **changes) -> dict:
    """The record of a sound fit with this row usage log, as it comes from a file."""
    record = {
        "key": "ab12",
        "status": "done",
        "names": {"signal_removal": "none", "protocol": "sound"},
        "fraction": 1.0,
        "config": {
            "scale": "standardise",
            "protocol": {"name": "sound", "fit_on": "train", "tuning_once": False},
        },
        "data": {"n_samples": 16, "fingerprint": "f00d"},
        "counts": {
            f"n_{part}": len(rows.rows("part", part)) for part in ("train", "validation", "test")
        },
        "row_usage": rows.summary(IDS),
        "metrics": {"balanced_accuracy": 1.0},
    }
    return json.loads(json.dumps(record | changes))


def a_fit(
    parts: dict | None = None, steps: dict | None = None, **changes
) -> tuple[dict, RowUsageLog]:
    """A clean fit but for what is planted; s14 and s15 are unused."""
    row_usage = row_usage_of(PARTS | (parts or {}), STEPS | (steps or {}))
    return record_of(row_usage, **changes), row_usage
