"""The key of a fit: a hash of all that determines it, and of nothing else."""

import hashlib
import json
from collections.abc import Mapping

from beyondlinear.records.record import ComposedConfig
from beyondlinear.runtime.provenance import NUMERICS_VERSION
from beyondlinear.tasks.splits import Fold

# Groups of a config that do not determine a fit. A dataset is known by its name and by the
# fingerprint of what it gave; leak probes and the residual test are made beside the fit.
_NO_PART_OF_A_FIT = {
    "dataset",
    "logger",
    "results",
    "leak_probes",
    "residual_test",
    "test",
    "meters",
}

# Single keys of the other groups that do not determine a fit.
_NO_PART_OF_A_GROUP = {
    # other fits of the same run
    "split": {"fractions", "only_folds"},
    # how often an unfinished training is saved
    "trainer": {"checkpoint_minutes"},
    # the model's own learning rate and ranges are resolved; those of the other models say nothing
    # about this fit
    "protocol": {"learning_rate", "search"},
    # only adds the certified optimum to the record
    "model": {"report_optimum"},
}

# How Hydra makes an object, which says nothing about the object.
_OF_HYDRA = {"_partial_", "_recursive_", "_convert_"}


def fit_key(
    config: ComposedConfig,
    fingerprint: str,
    fold: Fold,
    fraction: float,
    pretrained: bool | None = None,
) -> str:
    """The key of a fit: 32 hex digits, a hash of all that determines it.

    That is: the names of the choices and their arguments, the data, the rows of the fold, the
    fraction, the seed, the threads and the version of the numerics. A class counts by its name, so
    that code may move. Paths, trackers and the other folds and fractions of the run are left out,
    and so is what only adds to a record (see `completeness.lacks`). Commit and package versions
    stand in the record and are not hashed.

    :param config: as composed and resolved
    :param fingerprint: hash of the samples' ids, labels, groups and values
    :param pretrained: None where the split does not pretrain
    """
    determines: dict[str, object] = {}
    for group, content in config.items():
        if group not in _NO_PART_OF_A_FIT:
            determines[group] = _without(content, _NO_PART_OF_A_GROUP.get(group, set()))
    determines["dataset"] = config["dataset"]["name"]
    if config["tuning"]["method"] == "none":
        # the number of trials that are not made, and the ranges that they would be drawn from
        determines["tuning"] = "none"
        determines["model"] = _without(determines["model"], {"search"})
    if config["control"]["name"] == "none":
        # real labels are the same in every draw of a sweep
        determines["control"] = "none"
    determines["fingerprint"] = fingerprint
    determines["fold"] = fold.number
    determines["rows"] = {
        part: hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()
        for part, rows in fold.parts().items()
    }
    determines["fraction"] = float(fraction)
    if pretrained is not None:
        determines["pretrained"] = pretrained
    determines["numerics"] = NUMERICS_VERSION
    return _hash(determines)


def run_key(config: ComposedConfig) -> str:
    """The name of a run's list of fits: a hash of its config, so that the same run in the same
    directory replaces its list."""
    return _hash(_without(config, {"logger", "results"}))


def _without(content: object, keys: set[str]) -> object:
    """A group without these keys; a group that is a plain value stays as it is."""
    if not isinstance(content, Mapping):
        return content
    return {key: value for key, value in content.items() if key not in keys}


def _without_import_paths(content: object) -> object:
    """The same, with the class or function alone of each `_target_`, not the module it lies in."""
    if isinstance(content, Mapping):
        short: dict[str, object] = {}
        for key, value in content.items():
            if key == "_target_":
                short[key] = str(value).rpartition(".")[2]
            elif key not in _OF_HYDRA:
                short[key] = _without_import_paths(value)
        return short
    if isinstance(content, list | tuple):
        return [_without_import_paths(value) for value in content]
    return content


def _hash(content: object) -> str:
    text = json.dumps(
        _without_import_paths(content), sort_keys=True, separators=(",", ":"), default=str
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]
