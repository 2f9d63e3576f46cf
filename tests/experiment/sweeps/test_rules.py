import pytest

from beyondlinear.experiment.sweeps.rules import SweepRule, apply_rules, covering, read_rule
from beyondlinear.runtime.errors import ConfigError

GRID = [
    [f"model={m}", f"control={c}", f"draw={d}"]
    for m in "ab"
    for c in ("none", "labels")
    for d in "01"
]


def test_without_rules_the_grid_is_the_product():
    assert apply_rules(GRID, []) == GRID


def test_once_keeps_the_first_value():
    kept = apply_rules(GRID, [SweepRule({"control": "none"}, once=["draw"])])
    assert [r for r in kept if "control=none" in r] == [
        ["model=a", "control=none", "draw=0"],
        ["model=b", "control=none", "draw=0"],
    ]
    assert len(kept) == 6


def test_drop_and_add_hold_for_runs_with_all_of_when():
    rules = [
        {"when": {"model": "a", "control": "labels"}, "drop": True},
        {"when": {"model": "b", "draw": 1}, "add": ["x=2"]},
    ]
    kept = apply_rules(GRID, [read_rule(rule) for rule in rules])
    assert not any("model=a" in r and "control=labels" in r for r in kept)
    assert [r[-1] == "x=2" for r in kept] == ["model=b" in r and "draw=1" in r for r in kept]


@pytest.mark.parametrize(
    ("rule", "said"),
    [({"drop": True}, "needs `when`"), ({"when": {"a": 1}, "dorp": True}, "did you mean 'drop'")],
)
def test_a_rule_that_is_none(rule, said):
    with pytest.raises(ConfigError, match=said):
        read_rule(rule)


def test_every_value_is_in_a_covering_run():
    some = covering(GRID)
    assert some == [
        ["model=a", "control=none", "draw=0"],
        ["model=a", "control=none", "draw=1"],
        ["model=a", "control=labels", "draw=0"],
        ["model=b", "control=none", "draw=0"],
    ]
    assert {o for r in some for o in r} == {o for r in GRID for o in r}
