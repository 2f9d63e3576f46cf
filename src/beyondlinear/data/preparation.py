"""`beyondlinear prepare`: the data step of a run by itself, from the same config."""

import logging
from pathlib import Path

from beyondlinear.config import build, check, hydra_errors
from beyondlinear.errors import DataError

log = logging.getLogger(__name__)


def prepare(dataset: str, overrides: list[str], only_check: bool) -> str:
    """Prepare a data set, or check its store; returns what to say.

    :param overrides: as on the command line of train.py
    :raises UserError: a config that does not fit, a data set without a store, or what its preparation lacks
    """
    from hydra import compose, initialize_config_dir

    conf = Path(__file__).parents[3] / "conf"
    if not conf.is_dir():
        raise DataError(f"there is no folder '{conf}'; install beyondlinear from its repository (make setup)")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with hydra_errors(), initialize_config_dir(str(conf), version_base="1.3"):
        cfg = compose("config", overrides=[f"dataset={dataset}", "logger=none", *overrides])
    check(cfg)
    source = build(cfg.dataset)
    if not hasattr(source, "prepare"):
        raise DataError(f"dataset={dataset} is read or made anew by each run; only recount3 and gtex are prepared")
    if only_check:
        store = source.store()
        content = store.check()
        return f"{store.path} is whole: content {content}"
    store = source.prepare()
    said = store.said()
    return f"{store.path}\ncontent {said['content']}"
