"""Made-up sweeps in the true format."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up import ROOT


@pytest.fixture(scope="session")
def make_sweep() -> Callable[..., Path]:
    spec = importlib.util.spec_from_file_location("made_up_sweeps", ROOT / "benchmarks" / "report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make
