"""The keys of a config group against the signature of what its `_target_` names."""

import inspect
import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeGuard, get_type_hints

from omegaconf import DictConfig, ListConfig, OmegaConf

from beyondlinear.runtime.errors import ConfigError, choices
from beyondlinear.runtime.renamed import no_such_key

if TYPE_CHECKING:
    import pydantic

# what instantiate reads itself
_OF_HYDRA = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}


def check_missing(node: DictConfig, path: str) -> None:
    for key in map(str, node):
        if OmegaConf.is_missing(node, key):
            raise ConfigError(f"{path}.{key} has no value: give {path}.{key}=…")


def check_target(node: DictConfig, path: str) -> None:
    """The keys of a node against the signature of the function or class that it names."""
    from hydra.utils import get_object

    check_missing(node, path)
    try:
        target = get_object(node["_target_"])
    except Exception as e:
        raise ConfigError(f"{path}._target_: '{node['_target_']}' cannot be imported: {e}") from e
    parameters = inspect.signature(target).parameters
    annotations = _annotations(target)
    values = _values(node, path, parameters)
    for key in values:
        nodes = _target_nodes(node[key], f"{path}.{key}")
        for place, nested in nodes.items():
            check_target(nested, place)
        if nodes:  # what they make is known once they are called
            annotations[key] = object
    _check_required(node, path, parameters, values)
    checked = {key: annotations.get(key, object) for key in parameters if key in values}
    _check_types(values, checked, path)


def _values(
    node: DictConfig, path: str, parameters: Mapping[str, inspect.Parameter]
) -> dict[str, object]:
    """The node's values by key, without what only Hydra or only a table reads.

    :raises ConfigError: a key that the signature does not have
    """
    is_group = "." not in path
    takes_any_key = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    values: dict[str, object] = {}
    for key in map(str, node):
        is_name_of_group = key == "name" and is_group and "name" not in parameters
        if key in _OF_HYDRA or is_name_of_group:
            continue
        if key not in parameters and not takes_any_key:
            allowed = [*parameters, "name"] if is_group else list(parameters)
            raise ConfigError(no_such_key(f"{path}.{key}", allowed))
        value = node[key]
        if OmegaConf.is_config(value):
            value = OmegaConf.to_container(value, resolve=True)
        values[key] = value
    return values


def _target_nodes(value: object, path: str) -> dict[str, DictConfig]:
    """The nodes with a `_target_` that a key holds, by their paths: the value itself, or those in
    its list, e.g. trainer.callbacks[0]."""
    if _is_target(value):
        return {path: value}
    nodes: dict[str, DictConfig] = {}
    if isinstance(value, ListConfig):
        for i, item in enumerate(value):
            nodes.update(_target_nodes(item, f"{path}[{i}]"))
    return nodes


def _is_target(value: object) -> TypeGuard[DictConfig]:
    return isinstance(value, DictConfig) and "_target_" in value


def _check_required(
    node: DictConfig,
    path: str,
    parameters: Mapping[str, inspect.Parameter],
    values: Mapping[str, object],
) -> None:
    """A partial call gets the rest of its arguments at run time."""
    if node.get("_partial_", False):
        return
    for name, parameter in parameters.items():
        is_variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if name not in values and parameter.default is parameter.empty and not is_variadic:
            raise ConfigError(f"{path}.{name} has no value: give {path}.{name}=…")


def _check_types(
    values: Mapping[str, object], annotations: Mapping[str, object], path: str
) -> None:
    import pydantic

    specification: dict[str, Any] = {
        key: (_checkable(annotation), ...) for key, annotation in annotations.items()
    }
    # foreign signatures name tensors and the like: an instance check is all there is to check
    rules = pydantic.ConfigDict(strict=True, extra="allow", arbitrary_types_allowed=True)
    model = pydantic.create_model("Group", __config__=rules, **specification)
    try:
        model(**values)
    except pydantic.ValidationError as e:
        key = str(e.errors()[0]["loc"][0])
        rule = _rule(e, key, values[key])
        raise ConfigError(f"{path}.{key}: {values[key]!r} is not allowed; {rule}") from e


def _rule(error: "pydantic.ValidationError", key: str, value: object) -> str:
    """What a value of this key should be. A union reports every member; the key alone is what the
    user knows."""
    problems = [problem for problem in error.errors() if str(problem["loc"][0]) == key]
    literals = [
        str(problem.get("ctx", {}).get("expected", ""))
        for problem in error.errors()
        if problem["type"] == "literal_error"
    ]
    allowed = re.findall(r"'([^']*)'", " ".join(literals))
    if allowed:
        return choices(value, allowed)
    wanted = {str(problem["msg"]).replace("Input should be ", "") for problem in problems}
    return f"it should be {' or '.join(sorted(wanted))}"


def _annotations(target: Callable[..., object]) -> dict[str, object]:
    """The type hints of a signature's parameters; those that resolve, since a name that is imported
    for type checkers alone has no value at run time."""
    owner = target.__init__ if inspect.isclass(target) else target
    raw = getattr(owner, "__annotations__", {})
    names = getattr(owner, "__globals__", {})
    resolved: dict[str, object] = {}
    for parameter, annotation in raw.items():
        alone = SimpleNamespace(__annotations__={parameter: annotation})
        try:
            resolved.update(get_type_hints(alone, globalns=names, include_extras=True))
        except Exception:  # such a parameter is checked by its name alone
            continue
    return resolved


def _checkable(annotation: object) -> object:
    """The annotation, or `object` where pydantic has no schema for it: that is no config type."""
    import pydantic

    rules = pydantic.ConfigDict(strict=True, arbitrary_types_allowed=True)
    specification: dict[str, Any] = {"key": (annotation, ...)}
    try:
        pydantic.create_model("Key", __config__=rules, **specification)
    except pydantic.PydanticUserError:
        return object
    return annotation
