"""A grid with exceptions: a figure is not always a product of lists.

hydra:
  sweeper:
    params: {model: "linear_svm,five_layer", control: "none,linear_labels", control.draw: "0,1,2"}
    rules:
      - when: {control: none}           # real labels have no draws: one run in place of three
        once: [control.draw]
      - when: {model: linear_svm}       # these runs alone get these overrides
        add: ["~model.search.weight_decay"]
      - when: {model: five_layer, control: shuffled}
        drop: true
"""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from beyondlinear.errors import ConfigError, choices

_KEYS = ("when", "add", "once", "drop")


def ruled(runs: Sequence[Sequence[str]], rules: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Runs as the rules leave them, each once.

    A rule holds for the runs that have all of its `when`; `add` appends overrides, `once` takes the first value alone of the
    keys that it names, `drop: true` takes the run out.
    """
    firsts: dict[str, str] = {}
    for run in runs:
        for key, value in _values(run).items():
            firsts.setdefault(key, value)
    kept: dict[tuple[str, ...], list[str]] = {}
    for run in runs:
        values = _values(run)
        holding = [r for r in rules if all(values.get(k) == str(v) for k, v in r["when"].items())]
        if any(r.get("drop") for r in holding):
            continue
        if any(values[key] != firsts[key] for r in holding for key in r.get("once", []) if key in values):
            continue
        overrides = [*run, *(override for r in holding for override in r.get("add", []))]
        kept.setdefault(tuple(overrides), overrides)
    return list(kept.values())


def covering(runs: Sequence[list[str]]) -> list[list[str]]:
    """Some of the runs, in which every override of all of them occurs: composing a thousand runs takes minutes."""
    seen: set[str] = set()
    some = []
    for run in runs:
        if not seen.issuperset(run):
            seen.update(run)
            some.append(run)
    return some


def _values(run: Sequence[str]) -> dict[str, str]:
    pairs = (override.lstrip("+~").partition("=") for override in run)
    return {key: value for key, _, value in pairs}


def checked(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule as the config gives it, if it is one.

    :raises ConfigError: a key that no rule has, or no `when`
    """
    for key in map(str, rule):
        if key not in _KEYS:
            raise ConfigError(f"hydra.sweeper.rules: {key}: no such key. {choices(key, _KEYS)}")
    if not isinstance(rule.get("when"), Mapping):
        raise ConfigError(f"hydra.sweeper.rules: {dict(rule)} needs `when`, the values of the runs that it is for")
    content = OmegaConf.to_container(rule, resolve=False) if OmegaConf.is_config(rule) else dict(rule)
    assert isinstance(content, dict)
    return {str(k): v for k, v in content.items()}
