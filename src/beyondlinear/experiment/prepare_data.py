"""`beyondlinear prepare`: the data step of a run by itself, from the same config."""

import logging
from collections.abc import Sequence
from pathlib import Path

from beyondlinear.runtime.conf_dir import conf_dir
from beyondlinear.runtime.config import build, check
from beyondlinear.runtime.errors import ConfigError, DataError
from beyondlinear.runtime.explain_errors import hydra_errors

log = logging.getLogger(__name__)


def prepare(
    dataset: str, overrides: Sequence[str], only_check: bool, config_dir: str | None = None
) -> str:
    """Prepare a data set, or check its store; returns what to say.

    :param overrides: as on the command line of train.py
    :param config_dir: a folder of the user's own configs, searched after the shipped ones
    :raises UserError: a config that does not fit, a data set without a store, or what its
        preparation lacks
    """
    from hydra import compose, initialize_config_dir

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    words = [f"dataset={dataset}", "logger=none", *overrides]
    if config_dir is not None:
        words.append(f"hydra.searchpath=[{_source(config_dir)}]")
    with hydra_errors(), initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config", overrides=words)
    check(cfg)
    source = build(cfg.dataset)
    if not hasattr(source, "prepare"):
        raise DataError(
            f"dataset={dataset} is read or made anew by each run; only recount3 and gtex are"
            " prepared"
        )
    if only_check:
        store = source.store()
        content = store.check()
        return f"{store.path} is whole: content {content}"
    store = source.prepare()
    return f"{store.path}\ncontent {store.provenance()['content']}"


def _source(config_dir: str) -> str:
    """A config folder as Hydra's search path names it."""
    folder = Path(config_dir).absolute()
    if not folder.is_dir():
        raise ConfigError(f"--config-dir {config_dir} is not a directory")
    return f'"file://{folder}"'
