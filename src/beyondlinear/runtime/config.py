"""What a config may say: a schema of the top level, signatures for the groups, and errors that a
person can read.

Groups stay plain YAML; the class or function that a group's `_target_` names is its schema. `name`
is the one key that every group has besides: the word that tables use.
"""

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict

from beyondlinear.runtime.check_target import check_missing, check_target
from beyondlinear.runtime.errors import ConfigError, UserError
from beyondlinear.runtime.renamed import no_such_key

# OmegaConf matches an enum by its members' names, so the names are what the user types
Scale = Enum("Scale", ["none", "standardise", "minmax"])
FitOn = Enum("FitOn", ["train", "all"])


@dataclass
class LearningRates:
    logistic_regression: float = MISSING
    linear_svm: float = MISSING
    net: float = MISSING
    at_genes: int | None = MISSING


@dataclass
class Protocol:
    name: str = MISSING
    batch_size: int = MISSING
    gradient_clip: float | None = MISSING
    learning_rate: LearningRates = field(default_factory=LearningRates)
    fit_on: FitOn = MISSING
    scale: Scale = MISSING
    stop_below: float | None = MISSING
    initialisation: str = MISSING
    search: dict[str, list[float]] = field(default_factory=dict)
    tuning_once: bool = MISSING
    removal_before_subsetting: bool = MISSING


@dataclass
class Select:
    top_variance: int | None = None


@dataclass
class LeakProbes:
    trees: int = 100


@dataclass
class OldLeakProbes:
    """`meters`, the old name of `leak_probes`: a value given here is taken over by `check`."""

    trees: int | None = None


@dataclass
class Results:
    store: str = MISSING
    keep_model: bool = False


@dataclass
class Config:
    """The top-level keys. Whatever else stands in a config is refused: a misspelt key would train
    silently."""

    dataset: Any = MISSING
    task: Any = MISSING
    control: Any = MISSING
    split: Any = MISSING
    signal_removal: Any = MISSING
    model: Any = MISSING
    protocol: Protocol = field(default_factory=Protocol)
    tuning: Any = MISSING
    residual_test: Any = MISSING
    trainer: Any = MISSING
    logger: Any = field(default_factory=dict)
    seed: int = 0
    scale: Scale = Scale.standardise
    select: Select = field(default_factory=Select)
    leak_probes: LeakProbes = field(default_factory=LeakProbes)
    results: Results = field(default_factory=Results)
    meters: OldLeakProbes = field(default_factory=OldLeakProbes)


ConfigStore.instance().store(name="schema", node=Config)

TOP_LEVEL = [f.name for f in fields(Config) if f.name != "meters"]


def check(cfg: DictConfig) -> None:
    """Refuse what the top-level schema cannot see: unread keys, wrong types and missing values
    inside the groups. A key under its old name is taken over to its new one.

    :raises ConfigError: naming the key, the value, and what is allowed.
    """
    _take_old_names(cfg)
    for key in map(str, cfg):
        if key not in TOP_LEVEL:
            raise ConfigError(no_such_key(key, TOP_LEVEL))
    _check_top_level(cfg)
    for group in TOP_LEVEL:
        node = OmegaConf.select(cfg, group)
        if not isinstance(node, DictConfig):
            continue
        if group == "logger":
            _check_loggers(node)
        elif "_target_" in node:
            check_target(node, group)
        else:
            check_missing(node, group)


def build(node: DictConfig, **extra: object) -> Any:
    """Instantiate a group: `_target_` called with the node's keys but `name`, plus `extra`."""
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    content = OmegaConf.to_container(node, resolve=True)
    assert isinstance(content, dict)
    content.pop("name", None)
    try:
        return instantiate(content, _convert_="all", **extra)
    except InstantiationException as e:
        if isinstance(e.__cause__, UserError):  # what our own classes say of their arguments
            raise e.__cause__ from None
        raise


def _take_old_names(cfg: DictConfig) -> None:
    if "meters" not in cfg:
        return
    if cfg.meters.trees is not None:
        cfg.leak_probes.trees = cfg.meters.trees
    with open_dict(cfg):
        del cfg["meters"]


def _check_top_level(cfg: DictConfig) -> None:
    """Numbers of the top level that are out of their range."""
    if cfg.seed < 0:
        raise ConfigError(f"seed: {cfg.seed} is negative; a seed is a whole number from 0")
    n_genes = cfg.select.top_variance
    if n_genes is not None and n_genes < 1:
        raise ConfigError(
            f"select.top_variance: {n_genes} keeps no gene; give a number from 1, or null for all"
            " genes"
        )
    n_trees = cfg.leak_probes.trees
    if n_trees < 0:
        raise ConfigError(
            f"leak_probes.trees: {n_trees} is negative; give a number of trees, or 0 for no forest"
        )


def _check_loggers(loggers: DictConfig) -> None:
    """Trackers side by side, each a group of its own; a tracker that is null is not used."""
    for name in map(str, loggers):
        node = OmegaConf.select(loggers, name)
        if isinstance(node, DictConfig):
            check_target(node, f"logger.{name}")
