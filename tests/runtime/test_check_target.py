"""Signatures as schemas; tests/runtime/test_config.py has those of the shipped groups."""

import pytest
from omegaconf import OmegaConf

from beyondlinear.runtime.check_target import check_missing, check_target
from beyondlinear.runtime.errors import ConfigError


def takes_some(count: int, unresolved: "NotImported" = None):  # noqa: F821
    """A signature of which one hint has no value at run time."""
    return count


def test_one_hint_that_does_not_resolve_leaves_the_others_checked():
    node = {"_target_": f"{__name__}.takes_some", "count": "many", "unresolved": 1}
    cfg = OmegaConf.create({"count": node})
    with pytest.raises(ConfigError, match=r"model.count: 'many' is not allowed"):
        check_target(cfg["count"], "model")


def test_an_argument_without_a_default_is_asked_for():
    with pytest.raises(ConfigError, match=r"model.count has no value: give model.count=…"):
        check_target(OmegaConf.create({"_target_": f"{__name__}.takes_some"}), "model")


def test_a_partial_call_gets_the_rest_later():
    node = {"_target_": f"{__name__}.takes_some", "_partial_": True}
    check_target(OmegaConf.create(node), "model")


def test_a_value_that_is_missing():
    with pytest.raises(ConfigError, match=r"split.group has no value"):
        check_missing(OmegaConf.create({"group": "???"}), "split")


def takes_several(callbacks: list[str]):
    """A signature with a list, of which a config may hold nodes instead."""
    return callbacks


def several(*callbacks):
    node = {"_target_": f"{__name__}.takes_several", "callbacks": list(callbacks)}
    return OmegaConf.create(node)


def test_a_list_of_targets_is_checked_one_by_one():
    good = {"_target_": f"{__name__}.takes_some", "count": 1}
    check_target(several(good, good), "trainer")
    misspelt = {"_target_": f"{__name__}.takes_soem"}
    with pytest.raises(
        ConfigError, match=r"trainer.callbacks\[1\]._target_: '.*takes_soem' cannot be imported"
    ):
        check_target(several(good, misspelt), "trainer")
    with pytest.raises(ConfigError, match=r"trainer.callbacks\[0\].count: 'two' is not allowed"):
        check_target(several({**good, "count": "two"}), "trainer")
    with pytest.raises(ConfigError, match=r"trainer.callbacks\[0\].cuont"):
        check_target(several({**good, "cuont": 2}), "trainer")


def test_a_list_without_targets_keeps_its_type():
    check_target(several("a"), "trainer")
    with pytest.raises(ConfigError, match=r"trainer.callbacks: \[1\] is not allowed"):
        check_target(several(1), "trainer")
