"""`beyondlinear run` and `beyondlinear test`: the command line of `python train.py`, from any
folder and without a clone of the repository."""

import sys
from collections.abc import Callable, Sequence

import hydra
from omegaconf import DictConfig

from beyondlinear.runtime.conf_dir import conf_dir
from beyondlinear.runtime.explain_errors import explain_errors


def run_from_words(words: Sequence[str]) -> None:
    """Compose the config and make its fits.

    :param words: Hydra's arguments: overrides, -m, --cfg job, --config-dir DIR, --help …
    """
    _compose_and_call("beyondlinear run", words, fits)


def test_from_words(words: Sequence[str]) -> None:
    """Compose the config and make its residual-prediction test, and no fit.

    :param words: as for `run_from_words`; without residual_test=… the standard test is made
    """
    words = list(words)
    if not any(word.startswith("residual_test=") for word in words):
        # beside the other overrides: Hydra takes them in one piece only
        overrides = [i for i, word in enumerate(words) if "=" in word and not word.startswith("-")]
        words.insert(overrides[0] if overrides else len(words), "residual_test=standard")
    _compose_and_call("beyondlinear test", words, residual_test)


# tasks of Hydra at the top level of a module, where the processes of a sweep find them by name


def fits(cfg: DictConfig) -> None:
    from beyondlinear.experiment.run import run  # torch loads only when a run needs it

    run(cfg)


def residual_test(cfg: DictConfig) -> None:
    from beyondlinear.experiment.run import run_test

    run_test(cfg)


def _compose_and_call(
    program: str, words: Sequence[str], task: Callable[[DictConfig], None]
) -> None:
    """Hydra reads its arguments from sys.argv. The program's name, of two words, is what usage and
    the plan of a sweep show."""
    main = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(task)
    before = sys.argv
    sys.argv = [program, *words]
    try:
        explain_errors(main)()
    finally:
        sys.argv = before
