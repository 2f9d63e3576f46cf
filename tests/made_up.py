"""Configs, samples and benches made by hand; in a module of its own name, for more than one folder
has a conftest."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

import beyondlinear.runtime.config  # noqa: F401  (registers the schema that configs compose with)
from beyondlinear.tasks.task import Samples, Task

ROOT = Path(__file__).parent.parent


def composed(*overrides: str, hydra: bool = False) -> DictConfig:
    """The config that `python train.py OVERRIDES` composes."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", overrides=list(overrides), return_hydra_config=hydra)


def mean_accuracy(records: list[dict]) -> float:
    return float(np.mean([r["metrics"]["balanced_accuracy"] for r in records]))


def make_samples(
    labels: list[str],
    groups: list | np.ndarray | None = None,
    x: np.ndarray | None = None,
    **obs: list,
) -> Samples:
    """Samples of a task, as small as a test needs them."""
    n = len(labels)
    if x is None:
        x = np.zeros((n, 2), dtype=np.float32)
    frame = pd.DataFrame({"label": labels, **obs}, index=[f"s{i}" for i in range(n)])
    numbers = np.arange(n) if groups is None else pd.factorize(np.asarray(groups))[0]
    return Task("label").select(ad.AnnData(x, obs=frame), numbers.astype(np.int64))


def make_context(cfg, directory: Path = Path()):
    """What the fits of a run share, without the run."""
    from beyondlinear.experiment import run
    from beyondlinear.runtime.config import build

    cfg = OmegaConf.merge(cfg, {"results": {"store": str(directory / "records")}})
    return run.make_context(cfg, build(cfg.trainer))
