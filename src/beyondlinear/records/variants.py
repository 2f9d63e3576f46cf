"""Fits of one cell are repeats of each other; which settings tell one cell from another."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from beyondlinear.records.columns import GROUPS, Row
from beyondlinear.records.record import ComposedConfig

# keys of a config that may differ between the fits of one cell
_FREE = (
    "seed",
    "dataset.seed",
    "results.",
    "logger.",
    "split.fractions",
    "split.only_folds",
    "control.draw",
)

RowAndConfig: TypeAlias = tuple[Row, ComposedConfig]
# a config, by its id, and the choices that a row was made with
_Kind: TypeAlias = tuple[int, tuple[object, ...]]


def variants(rows: Sequence[RowAndConfig]) -> list[str]:
    """Of each row, the settings in which configs differ that made the same choices:
    "model.lr=0.001, trainer.patience=5", or "" where there is no other.

    The fits of a run share one config, as the same object. Each config is therefore flattened once,
    and rows of one config and the same choices are compared as one.
    """
    settings: dict[int, dict[str, str]] = {}  # id of a config → its keys and values
    choices: dict[_Kind, Row] = {}  # one row of each kind
    for made, config in rows:
        if id(config) not in settings:
            settings[id(config)] = {key: str(value) for key, value in _flat(config)}
        choices.setdefault(_kind(made, config), made)

    values: dict[tuple[str, str], set[str]] = defaultdict(set)  # scope and key → all its values
    for (config_id, _), made in choices.items():
        for key, value in settings[config_id].items():
            values[_scope(key, made), key].add(value)

    words: dict[_Kind, str] = {}
    for kind, made in choices.items():
        config_id, _ = kind
        differing = [
            f"{key}={value}"
            for key, value in sorted(settings[config_id].items())
            if len(values[_scope(key, made), key]) > 1
        ]
        words[kind] = ", ".join(differing)
    return [words[_kind(made, config)] for made, config in rows]


def _kind(made: Row, config: ComposedConfig) -> _Kind:
    return id(config), tuple(made[group] for group in GROUPS)


def _flat(config: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted keys and values of a config, without those that may differ within a cell."""
    for key, value in config.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{path}.")
        elif not path.startswith(_FREE):
            yield path, value


def _scope(key: str, made: Row) -> str:
    """Keys of a group are compared among fits with the same choice in it: a net's lr is no variant
    of a forest's, and such fits are no repeats of each other and must not share a cell."""
    group = key.split(".")[0]
    return f"{group}={made.get(group)}|{made['protocol']}"
