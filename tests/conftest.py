"""What tests share: the folder of real data, and two ways to run a config: in this process, and as
a user types it."""

import copy
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from made_up import ROOT, composed
from omegaconf import DictConfig, open_dict

LONGEST = ("test_readme.py",)  # begun first, so that no process is left alone with them at the end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data and golden vectors kept beside the repository; not part of it."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder ../shared with real data and limma's golden vectors")
    return folder


@pytest.fixture
def compose_config() -> Callable[..., DictConfig]:
    """A composed config, without the tracker (its path exists only within a run)."""
    return lambda *overrides: composed("logger=none", *overrides)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as in a terminal: what a shell runs in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def run_here(tmp_path: Path) -> Iterator[Callable[..., list[dict]]]:
    """Run a config in this process; returns its records, ordered by fold and fraction."""
    from beyondlinear.experiment.run import run

    level, numbered = logging.getLogger().level, iter(range(1000))

    def call(*overrides: str, store: str = "records") -> list[dict]:
        cfg = composed(*overrides, f"results.store={tmp_path / store}", hydra=True)
        directory = tmp_path / f"run{next(numbered)}"
        directory.mkdir()
        with open_dict(cfg):
            cfg.hydra.runtime.output_dir = str(directory)
            HydraConfig.instance().set_config(copy.deepcopy(cfg))
            del cfg["hydra"]
        run(cfg)
        listing = json.loads(next(directory.glob("fits_*.json")).read_text())
        records = [
            json.loads((tmp_path / store / f["key"][:2] / f"{f['key']}.json").read_text())
            for f in listing["fits"]
        ]
        return sorted(records, key=lambda r: (r["fold"], r["fraction"], r["pretrained"] or False))

    yield call
    logging.getLogger().setLevel(level)


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """`python train.py ARGUMENTS` in a new process and an empty directory."""

    def call(*arguments: str, expect: int = 0) -> subprocess.CompletedProcess:
        command = [sys.executable, str(ROOT / "train.py"), *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    return call
