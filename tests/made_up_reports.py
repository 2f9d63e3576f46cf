"""What tests of the report share: all tables of made-up fits, and what is said of them."""

import json
from pathlib import Path

import pandas as pd

from beyondlinear.report.cells import cells
from beyondlinear.report.comparisons import comparisons
from beyondlinear.report.gaps import find_gaps
from beyondlinear.report.reading import GatheredFits
from beyondlinear.report.signal_tests import excesses, residual_tests
from beyondlinear.report.verdict import PanelVerdict, verdicts


def tables_of(gathered: GatheredFits) -> dict[str, pd.DataFrame]:
    return {
        "cells": cells(gathered)[0],
        "comparisons": comparisons(gathered),
        "excess": excesses(gathered),
        "tests": residual_tests(gathered),
    }


def judged(gathered: GatheredFits) -> list[PanelVerdict]:
    return verdicts(gathered, tables_of(gathered))


def missing_texts(gathered: GatheredFits) -> str:
    return "\n".join(f"{problem.kind}: {problem.text}" for problem in find_gaps(gathered))


def renamed(folder: Path, model: str, name: str) -> Path:
    """The same sweep with a model under another name."""
    for path in folder.rglob("*.json"):
        path.write_text(path.read_text().replace(f'"{model}"', f'"{name}"'))
    return folder


def with_optimum(folder: Path, gap: float, accuracy: float) -> Path:
    """The same sweep with a certified optimum beside each linear model that was not solved."""
    for path in (folder / "records").glob("??/*.json"):
        record = json.loads(path.read_text())
        if record["model"]["linear"] and not record["model"]["certified"]:
            metrics = {"balanced_accuracy": accuracy, "log_loss": 0.3}
            record["optimum"] = {"objective_gap": gap, "metrics": metrics}
            path.write_text(json.dumps(record))
    return folder


def fits(**columns: list[object]) -> pd.DataFrame:
    """Rows of `GatheredFits.done` with these columns, as many as each has values; the rest as in
    fits of one network."""
    n = len(next(iter(columns.values())))
    rest: dict[str, object] = {
        "panel": "data",
        "model": "net",
        "learner": "net",
        "signal_removal": "none",
        "control": "none",
        "linear": False,
        "certified": False,
        "probabilities": True,
        "seed": 0,
        "fold": 0,
        "fraction": 1.0,
        "n_outer_train": 80.0,
        "n_test": 20.0,
        "n_classes": 2,
        "balanced_accuracy": 0.8,
        "optimum_balanced_accuracy": float("nan"),
        "epochs": 10.0,
        "status": "done",
    }
    return pd.DataFrame(rest | columns, index=range(n))
