"""The benchmark of removals on linear labels: its formula by hand, and what it claims on one data
set."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import resistant

    return resistant


def test_probability_of_staying_by_hand(benchmark: Any) -> None:
    e = np.array([[0.8, 0.2], [0.8, 0.2], [0.5, 0.5]])
    assert benchmark.matching(e, np.array([0, 1, 0])) == pytest.approx([0.25, 1, 1])
    # at class frequencies of 80 % and 20 % these rows say nothing but their class's frequency: both
    # stay
    frequencies = np.array([0.8, 0.2])
    assert benchmark.matching(e, np.array([0, 1, 1]), frequencies) == pytest.approx([1, 1, 0.25])


def test_rows_that_stay_have_equally_likely_classes_whatever_their_genes(benchmark: Any) -> None:
    """P(y | x, stays) ∝ p_y/e_y: uniform where e is the truth; else what e lacks."""
    x, codes = np.array([[-2.0], [2.0]] * 200), np.array([0, 0, 1, 1] * 100)
    truth = np.array([[0.9, 0.1], [0.3, 0.7]] * 200)
    rows = benchmark.Rows(x, codes, truth, np.ones(400))
    left = benchmark.weighted(benchmark.Fold(rows, rows, np.random.default_rng(0)), true_law=True)
    assert left.train.truth == pytest.approx(np.full((400, 2), 0.5))
    assert left.train.weight[:4] == pytest.approx([1 / 9, 1, 1, 3 / 7])


def test_claims_on_detected_genes(tmp_path: Path) -> None:
    """A forest reads the grids that removal of class means leaves; nothing is left to find where
    the true law thins, and the fitted one leaves no more than a tenth of balanced accuracy."""
    asked = ["split", "LEACE", "thinning", "thinning, then LEACE", "thinning, true law"]
    words = ["data", "--data", "bernoulli", "--n", "1200", "--p", "20", "--folds", "2"]
    words += [
        "--seeds",
        "1",
        "--trees",
        "30",
        "--candidates",
        *asked,
        "--json",
        str(tmp_path / "r.json"),
    ]
    command = [sys.executable, "benchmarks/resistant.py", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "thinning, true law" in done.stdout
    rows = json.loads((tmp_path / "r.json").read_text())
    assert list(rows[0]) == ["data", "candidate", "model", "value", "bayes", "kept"]

    def mean(candidate: str, what: str, model: str = "random forest") -> float:
        return float(
            np.mean([r[what] for r in rows if (r["candidate"], r["model"]) == (candidate, model)])
        )

    assert mean("split", "value") > 0.97 > mean("split", "bayes") + 0.1
    assert mean("LEACE", "value") > 0.7
    assert mean("LEACE", "value", "logistic regression") == 0.5
    assert mean("thinning, then LEACE", "value", "logistic regression") == 0.5
    assert mean("thinning, true law", "bayes") == 0.5
    for candidate in asked[2:]:
        assert abs(mean(candidate, "value") - 0.5) < 0.1
        assert 0.25 < mean(candidate, "kept") < 0.5
