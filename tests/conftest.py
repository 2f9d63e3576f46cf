"""What tests share: the folder of real data, and two ways to run a config: in this process, and as a user types it."""

import copy
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

import beyondlinear.config  # noqa: F401  (registers the schema that configs compose with)
from beyondlinear.tasks import Samples, Task

ROOT = Path(__file__).parent.parent
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


def composed(*overrides: str, hydra: bool = False) -> DictConfig:
    """The config that `python train.py OVERRIDES` composes."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", overrides=list(overrides), return_hydra_config=hydra)


@pytest.fixture
def compose_config() -> Callable[..., DictConfig]:
    """A composed config, without the tracker (its path exists only within a run)."""
    return lambda *overrides: composed("logger=none", *overrides)


@pytest.fixture
def run_here(tmp_path: Path) -> Iterator[Callable[..., list[dict]]]:
    """Run a config in this process; returns its records, ordered by fold and fraction."""
    from beyondlinear.run import run

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
            json.loads((tmp_path / store / f["key"][:2] / f"{f['key']}.json").read_text()) for f in listing["fits"]
        ]
        return sorted(records, key=lambda r: (r["fold"], r["fraction"], r["pretrained"] or False))

    yield call
    logging.getLogger().setLevel(level)


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """`python train.py ARGUMENTS` in a new process and an empty directory."""

    def call(*arguments: str, expect: int = 0) -> subprocess.CompletedProcess:
        command = [sys.executable, str(ROOT / "train.py"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    return call


def mean_accuracy(records: list[dict]) -> float:
    return float(np.mean([r["metrics"]["balanced_accuracy"] for r in records]))


def make_samples(
    labels: list[str], groups: list | np.ndarray | None = None, x: np.ndarray | None = None, **obs: list
) -> Samples:
    """Samples of a task, as small as a test needs them."""
    n = len(labels)
    if x is None:
        x = np.zeros((n, 2), dtype=np.float32)
    frame = pd.DataFrame({"label": labels, **obs}, index=[f"s{i}" for i in range(n)])
    numbers = np.arange(n) if groups is None else pd.factorize(np.asarray(groups))[0]
    return Task("label").select(ad.AnnData(x, obs=frame), numbers.astype(np.int64))


def make_bench(cfg, directory: Path = Path()):
    """What the fits of a run share, without the run."""
    from beyondlinear.config import build
    from beyondlinear.parts import Bench
    from beyondlinear.results import Store

    config = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    splitter, adata = build(cfg.split), build(cfg.dataset)
    samples = build(cfg.task).select(adata, splitter.groups(adata.obs))
    removal, model, tuning, training = (build(cfg[g]) for g in ("signal_removal", "model", "tuning", "trainer"))
    store = Store(directory / "records")
    return Bench(cfg, config, samples, "data", splitter, removal, model, tuning, training, store, directory)
