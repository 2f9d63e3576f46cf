"""Records of earlier formats, brought to today's when they are read; files stay as they are.

Format 1 has no field `format` and other names: its parts were called fit, tune and validation part
where now they are train, validation and test part, and `n_train` counted the first two together.
Words inside of sentences (reasons, warnings, findings) stay as they were written.
"""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import numpy as np

from beyondlinear.records.record import FORMAT, ComposedConfig, FitRecord, ModelRecord

_PARTS = {
    "fit": "train",
    "tune": "validation",
    "validation": "test",
    "pretraining fit": "pretraining train",
    "pretraining tune": "pretraining validation",
    "thinned fit": "thinned train",
}
_COUNTS = {
    "n_train": "n_outer_train",
    "n_fit": "n_train",
    "n_tune": "n_validation",
    "n_validation": "n_test",
}
_REMOVAL_MODES = {
    "split": "class_means",
    "full": "class_means_before_split",
    "train": "leace",
    "train_projection": "projection",
    "resistant": "matching",
}
_TOP_LEVEL_FIELDS = {
    "circumstances": "provenance",
    "ledger": "row_usage",
    "meters": "leak_probes",
}
_CONFIG_GROUPS = {"meters": "leak_probes", "test": "residual_test"}
_CONFIG_KEYS = {
    "split": {"tune_share": "validation_share"},
    "trainer": {"epochs_without_tune": "epochs_without_validation"},
    "model": {"without_tune": "without_validation"},
}

Value = TypeVar("Value")


def upgrade(record: dict[str, Any]) -> FitRecord:
    """A record of any format as one of today's.

    :raises AttributeError, KeyError, TypeError: somebody's hand was in the record
    """
    if record.get("format") == FORMAT:
        return cast(FitRecord, record)
    upgraded = _renamed(record, _TOP_LEVEL_FIELDS)
    upgraded["format"] = FORMAT
    if "names" in record:
        upgraded["names"] = upgrade_names(record["names"])
    if "config" in record:
        upgraded["config"] = upgrade_config(record["config"])
        properties = model_properties(upgraded["config"])
        if properties is not None:
            upgraded.setdefault("model", properties)
    if "counts" in record:
        upgraded["counts"] = _counts(record["counts"])
    if "row_usage" in upgraded:
        upgraded["row_usage"] = _row_usage(upgraded["row_usage"])
    if "history" in record.get("training", {}):
        upgraded["training"] = dict(record["training"])
        upgraded["training"]["history"] = [
            _renamed(epoch, {"tune_loss": "validation_loss"})
            for epoch in record["training"]["history"]
        ]
    if "signal_removal" in record.get("tuning", {}):
        upgraded["tuning"] = upgrade_names(record["tuning"])
    if record.get("removal", {}).get("labels_of") == "the fit part":
        upgraded["removal"] = {"labels_of": "the train part"}
    return cast(FitRecord, upgraded)


def upgrade_names(names: Mapping[str, Any]) -> dict[str, Any]:
    """Names of choices by group, with today's name of the signal removal."""
    upgraded = dict(names)
    if "signal_removal" in names:
        mode = names["signal_removal"]
        upgraded["signal_removal"] = _REMOVAL_MODES.get(mode, mode)
    return upgraded


def upgrade_config(config: ComposedConfig) -> dict[str, Any]:
    """A config with today's names of groups, keys and choices. Its `_target_`s stay: they say what
    was run."""
    upgraded = _renamed(config, _CONFIG_GROUPS)
    for group, new_names in _CONFIG_KEYS.items():
        if isinstance(config.get(group), Mapping):
            upgraded[group] = _renamed(config[group], new_names)
    protocol = config.get("protocol")
    if isinstance(protocol, Mapping) and protocol.get("fit_on") == "fit":
        upgraded["protocol"] = {**protocol, "fit_on": "train"}
    removal = config.get("signal_removal")
    if isinstance(removal, Mapping) and "name" in removal:
        mode = removal["name"]
        upgraded["signal_removal"] = {**removal, "name": _REMOVAL_MODES.get(mode, mode)}
    return upgraded


def upgrade_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What lies beside a record, with today's names of arrays and parts."""
    if "ledger_names" not in arrays:
        return arrays
    upgraded = _renamed(
        arrays, {"ledger_names": "row_usage_names", "ledger_rows": "row_usage_rows"}
    )
    names = []
    for written in map(str, arrays["ledger_names"]):
        kind, _, name = written.partition(":")
        names.append(f"{kind}:{_PARTS.get(name, name)}" if kind == "part" else written)
    upgraded["row_usage_names"] = np.array(names, dtype=np.str_)
    return upgraded


def model_properties(config: ComposedConfig) -> ModelRecord | None:
    """What the models of format 1 would have stated about themselves; None without a model.

    A class that was not ours is taken for what compares it least favourably: not linear.
    """
    model = config.get("model")
    if not isinstance(model, Mapping) or "_target_" not in model:
        return None
    model_class = _class_name(model)
    loss = model.get("loss")
    if model_class == "RidgeModel":
        return _linear_model(certified=True, probabilities=loss == "logistic")
    if model_class == "NetworkModel":
        network = model.get("network", {})
        if _class_name(network) == "Linear":
            return _linear_model(certified=False, probabilities=loss == "cross_entropy")
        return {
            "linear": False,
            "certified": False,
            "probabilities": loss == "cross_entropy",
            "coefficients": False,
        }
    return {"linear": False, "certified": False, "probabilities": False, "coefficients": False}


def _linear_model(*, certified: bool, probabilities: bool) -> ModelRecord:
    return {
        "linear": True,
        "certified": certified,
        "probabilities": probabilities,
        "coefficients": True,
    }


def _class_name(node: Mapping[str, Any]) -> str:
    return str(node.get("_target_", "")).rpartition(".")[2]


def _counts(counts: Mapping[str, Any]) -> dict[str, Any]:
    if "n_outer_train" in counts:  # today's names already
        return dict(counts)
    upgraded = _renamed(counts, _COUNTS)
    if "per_class" in counts:
        upgraded["per_class"] = _renamed(counts["per_class"], _PARTS)
    return upgraded


def _row_usage(ledger: Mapping[str, Any]) -> dict[str, Any]:
    parts = ledger.get("parts", {})
    if "test" in parts:  # today's names already
        return dict(ledger)
    return {**ledger, "parts": _renamed(parts, _PARTS)}


def _renamed(content: Mapping[str, Value], new_names: Mapping[str, str]) -> dict[str, Value]:
    """The same in the same order, with other names for some keys."""
    return {new_names.get(key, key): value for key, value in content.items()}
