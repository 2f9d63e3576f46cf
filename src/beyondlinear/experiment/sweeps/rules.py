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
from dataclasses import dataclass, field, fields

from omegaconf import OmegaConf

from beyondlinear.runtime.errors import ConfigError, choices


@dataclass(frozen=True)
class SweepRule:
    """An exception to a grid, for the runs that have all the values in `when`.

    add: overrides that these runs get besides; once: keys of which only the first value is run;
    drop: these runs are left out
    """

    when: Mapping[str, str]
    add: Sequence[str] = field(default_factory=list)
    once: Sequence[str] = field(default_factory=list)
    drop: bool = False

    def holds_for(self, values: Mapping[str, str]) -> bool:
        """:param values: the values of a run's overrides, by key"""
        return all(values.get(key) == value for key, value in self.when.items())


def read_rule(rule: Mapping[str, object]) -> SweepRule:
    """A rule as the config gives it, if it is one.

    :raises ConfigError: a key that no rule has, or no `when`
    """
    known = [f.name for f in fields(SweepRule)]
    for key in map(str, rule):
        if key not in known:
            raise ConfigError(f"hydra.sweeper.rules: {key}: no such key. {choices(key, known)}")
    content = OmegaConf.to_container(OmegaConf.create(dict(rule)), resolve=False)
    assert isinstance(content, dict)
    when = content.pop("when", None)
    if not isinstance(when, Mapping):
        raise ConfigError(
            f"hydra.sweeper.rules: {dict(rule)} needs `when`, the values of the runs that it is for"
        )
    values = {str(key): str(value) for key, value in when.items()}
    return SweepRule(values, **{str(key): value for key, value in content.items()})


def apply_rules(runs: Sequence[Sequence[str]], rules: Sequence[SweepRule]) -> list[list[str]]:
    """The runs of a grid as the rules leave them, each once and in the order of the grid.

    :param runs: the overrides of each run
    """
    first_values: dict[str, str] = {}
    for run in runs:
        for key, value in values_of(run).items():
            first_values.setdefault(key, value)
    left: dict[tuple[str, ...], list[str]] = {}
    for run in runs:
        values = values_of(run)
        of_this_run = [rule for rule in rules if rule.holds_for(values)]
        if any(rule.drop for rule in of_this_run):
            continue
        once = [key for rule in of_this_run for key in rule.once if key in values]
        if any(values[key] != first_values[key] for key in once):
            continue
        added = [override for rule in of_this_run for override in rule.add]
        overrides = [*run, *added]
        left.setdefault(tuple(overrides), overrides)
    return list(left.values())


def covering(runs: Sequence[list[str]]) -> list[list[str]]:
    """Some of the runs, in which every override of all of them occurs: composing a thousand runs
    takes minutes."""
    seen: set[str] = set()
    some = []
    for run in runs:
        if not seen.issuperset(run):
            seen.update(run)
            some.append(run)
    return some


def values_of(run: Sequence[str]) -> dict[str, str]:
    """The values of a run's overrides, by key: {"model": "a"} of ["model=a"]."""
    values = {}
    for override in run:
        key, _, value = override.lstrip("+~").partition("=")
        values[key] = value
    return values
