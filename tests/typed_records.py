"""Whether a value read from JSON is what its TypedDict says."""

import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict


def strange(value: object, kind: Any, path: str = "record") -> list[str]:
    """What of a value its type does not say, by its path."""
    if kind is Any:
        return []
    if is_typeddict(kind):
        return strange_fields(value, kind, path)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        each = [strange(value, member, path) for member in arguments]
        return min(each, key=len)
    if origin is Literal:
        return [] if value in arguments else [f"{path}: {value!r}"]
    if origin in (list, tuple):
        if not isinstance(value, list):
            return [f"{path}: {value!r} is no list"]
        return [s for item in value for s in strange(item, arguments[0], f"{path}[]")]
    if origin is not None:  # dict, Mapping
        if not isinstance(value, dict):
            return [f"{path}: {value!r} is no dict"]
        return [s for k, item in value.items() for s in strange(item, arguments[1], f"{path}.{k}")]
    allowed = (int, float) if kind is float else kind
    return [] if isinstance(value, allowed) else [f"{path}: {value!r} is no {kind}"]


def strange_fields(value: object, kind: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is no {kind.__name__}"]
    hints = get_type_hints(kind)
    found = [f"{path}.{key}: no field of {kind.__name__}" for key in value if key not in hints]
    found += [f"{path}.{key} is missing" for key in kind.__required_keys__ if key not in value]
    for key in value.keys() & hints.keys():
        found += strange(value[key], hints[key], f"{path}.{key}")
    return found
