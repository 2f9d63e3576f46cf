"""Made-up sweeps in the true format."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up import ROOT
from made_up_reports import renamed, with_optimum

from beyondlinear.report.reading import GatheredFits, read


@pytest.fixture(scope="session")
def make_sweep() -> Callable[..., Path]:
    spec = importlib.util.spec_from_file_location(
        "made_up_sweeps", ROOT / "benchmarks" / "report.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make


@pytest.fixture(scope="session")
def small_sweep(make_sweep, tmp_path_factory) -> Path:
    """ridge_logistic, three_layer and a copy of logistic_regression under a name of its own, with
    and without the signal; five folds, one seed, two training sizes."""
    folder = tmp_path_factory.mktemp("small")
    models = ("ridge_logistic", "logistic_regression", "three_layer")
    make_sweep(folder, models=models)
    with_optimum(folder, gap=0.02, accuracy=0.85)
    return renamed(folder, "logistic_regression", "mine")


@pytest.fixture
def gathered(small_sweep) -> GatheredFits:
    return read([small_sweep])
