"""What a config may say: a schema of the top level, signatures for the groups, and errors that a person can read.

Groups stay plain YAML; the class or function that a group's `_target_` names is its schema. `name` is the one key that
every group has besides: the word that tables use.
"""

import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from beyondlinear.errors import ConfigError, UserError, choices, exit_code_of

# OmegaConf matches an enum by its members' names, so the names are what the user types
Scale = Enum("Scale", ["none", "standardise", "minmax"])
FitOn = Enum("FitOn", ["fit", "all"])


@dataclass
class LearningRates:
    logistic_regression: float = MISSING
    linear_svm: float = MISSING
    net: float = MISSING
    at_genes: int | None = MISSING


@dataclass
class Protocol:
    name: str = MISSING
    batch_size: int = MISSING
    gradient_clip: float | None = MISSING
    learning_rate: LearningRates = field(default_factory=LearningRates)
    fit_on: FitOn = MISSING
    scale: Scale = MISSING
    stop_below: float | None = MISSING
    initialisation: str = MISSING
    search: dict[str, Any] = field(default_factory=dict)
    tuning_once: bool = MISSING
    removal_before_subsetting: bool = MISSING


@dataclass
class Select:
    top_variance: int | None = None


@dataclass
class Meters:
    trees: int = 100


@dataclass
class Results:
    store: str = MISSING
    pack_from: int | None = 50
    keep_model: bool = False


@dataclass
class Config:
    """The top-level keys. Whatever else stands in a config is refused: a misspelt key would train silently."""

    dataset: Any = MISSING
    task: Any = MISSING
    control: Any = MISSING
    split: Any = MISSING
    signal_removal: Any = MISSING
    model: Any = MISSING
    protocol: Protocol = field(default_factory=Protocol)
    tuning: Any = MISSING
    test: Any = MISSING
    trainer: Any = MISSING
    logger: Any = field(default_factory=dict)
    seed: int = 0
    scale: Scale = Scale.standardise
    select: Select = field(default_factory=Select)
    meters: Meters = field(default_factory=Meters)
    results: Results = field(default_factory=Results)


ConfigStore.instance().store(name="schema", node=Config)

# foreign signatures name tensors and the like: an instance check is all there is to check
_STRICT: Any = {"strict": True, "extra": "allow", "arbitrary_types_allowed": True}


def check(cfg: DictConfig) -> None:
    """Refuse what the top-level schema cannot see: unread keys, wrong types and missing values inside the groups.

    :raises ConfigError: naming the key, the value, and what is allowed.
    """
    known = [f.name for f in fields(Config)]
    for key in map(str, cfg):
        if key not in known:
            raise ConfigError(f"{key}: no such key. {choices(key, known)}")
    if cfg.seed < 0:
        raise ConfigError(f"seed: {cfg.seed} is negative; a seed is a whole number from 0")
    top = cfg.select.top_variance
    if top is not None and top < 1:
        raise ConfigError(f"select.top_variance: {top} keeps no gene; give a number from 1, or null for all genes")
    if cfg.meters.trees < 0:
        raise ConfigError(f"meters.trees: {cfg.meters.trees} is negative; give a number of trees, or 0 for no forest")
    for group in known:
        node = OmegaConf.select(cfg, group)
        if isinstance(node, DictConfig):
            if group == "logger":  # trackers side by side, each a group of its own
                for name in map(str, node):
                    if isinstance(OmegaConf.select(node, name), DictConfig):
                        _check_target(node[name], f"logger.{name}")
            elif "_target_" in node:
                _check_target(node, group)
            else:
                _check_missing(node, group)


def build(node: DictConfig, **extra: Any) -> Any:
    """Instantiate a group: `_target_` called with the node's keys but `name`, plus `extra`."""
    from hydra.utils import instantiate

    content = OmegaConf.to_container(node, resolve=True)
    assert isinstance(content, dict)
    content.pop("name", None)
    return instantiate(content, _convert_="all", **extra)


def _check_missing(node: DictConfig, path: str) -> None:
    for key in map(str, node):
        if OmegaConf.is_missing(node, key):
            raise ConfigError(f"{path}.{key} has no value: give {path}.{key}=…")


def _check_target(node: DictConfig, path: str) -> None:
    import pydantic
    from hydra.utils import get_object

    try:
        target = get_object(node["_target_"])
    except Exception as e:
        raise ConfigError(f"{path}._target_: '{node['_target_']}' cannot be imported: {e}") from e
    _check_missing(node, path)
    values, annotations = {}, _annotations(target)
    parameters = inspect.signature(target).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    reserved = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"} | (
        {"name"} if "." not in path else set()
    )
    for key, value in ((str(k), v) for k, v in node.items()):
        if key in reserved and not (key == "name" and "name" in parameters):
            continue
        if key not in parameters and not open_ended:
            raise ConfigError(
                f"{path}.{key}: no such key. {choices(key, [*parameters, *(['name'] * ('.' not in path))])}"
            )
        if isinstance(value, DictConfig) and "_target_" in value:
            _check_target(value, f"{path}.{key}")
            annotations[key] = Any
        values[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    partial = bool(node.get("_partial_", False))
    specification: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if name in values:
            specification[name] = (_checkable(annotations.get(name, Any)), ...)
        elif parameter.default is parameter.empty and not partial and parameter.kind not in (2, 4):
            raise ConfigError(f"{path}.{name} has no value: give {path}.{name}=…")
    model = pydantic.create_model("Group", __config__=_STRICT, **specification)
    try:
        model(**values)
    except pydantic.ValidationError as e:
        key = str(e.errors()[0]["loc"][0])
        # a union reports every member; the key alone is what the user knows
        said = {str(p["msg"]).replace("Input should be ", "") for p in e.errors() if str(p["loc"][0]) == key}
        expected = [str(p.get("ctx", {}).get("expected", "")) for p in e.errors() if p["type"] == "literal_error"]
        allowed = re.findall(r"'([^']*)'", " ".join(expected))
        rule = choices(values[key], allowed) if allowed else f"it should be {' or '.join(sorted(said))}"
        raise ConfigError(f"{path}.{key}: {values[key]!r} is not allowed; {rule}") from e


def _annotations(target: Callable[..., Any]) -> dict[str, Any]:
    owner = target.__init__ if inspect.isclass(target) else target
    try:
        return dict(get_type_hints(owner, include_extras=True))
    except Exception:  # a foreign class whose hints do not resolve is checked by its keys alone
        return {}


def _checkable(annotation: Any) -> Any:
    import pydantic

    try:
        pydantic.create_model("Key", __config__=_STRICT, key=(annotation, ...))
    except pydantic.PydanticUserError:  # what pydantic has no schema for is no config type
        return Any
    return annotation


def explain_errors(main: Callable[[], Any]) -> Callable[[], Any]:
    """Wrap a `hydra.main` function: a user's mistake ends in one screen and exit code 1, without a traceback.

    With HYDRA_FULL_ERROR=1 in the environment everything is raised as it is.
    """

    @functools.wraps(main)
    def wrapped() -> Any:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            return main()
        # Hydra would print its own text and exit; with this set it hands the exception on
        os.environ["HYDRA_FULL_ERROR"] = "1"
        from hydra.errors import HydraException

        try:
            return main()
        except UserError as e:
            text = str(e)
        except (HydraException, OmegaConfBaseException) as e:
            text = _explain(e)
        except yaml.YAMLError as e:
            text = f"a config file is not valid YAML: {e}"
        except KeyboardInterrupt as e:
            _leave(f"{str(e) or 'interrupted'}; finished fits are kept and the same command continues", exit_code_of(e))
        finally:
            del os.environ["HYDRA_FULL_ERROR"]
        _leave(f"error: {text}\n(HYDRA_FULL_ERROR=1 shows where it was raised)", 1)

    return wrapped


@contextmanager
def hydra_errors() -> Iterator[None]:
    """Hydra's and OmegaConf's errors as a ConfigError, where a config is composed outside of `hydra.main`."""
    from hydra.errors import HydraException

    try:
        yield
    except (HydraException, OmegaConfBaseException) as e:
        raise ConfigError(_explain(e)) from e


def _leave(text: str, code: int) -> NoReturn:
    print(f"\n{text}", file=sys.stderr)
    sys.exit(code)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _explain(error: Exception) -> str:
    """Hydra's and OmegaConf's own errors, with the closest allowed choice first."""
    from hydra.errors import MissingConfigException, OverrideParseException

    for e in _causes(error):
        if isinstance(e, UserError):
            return str(e)
    if isinstance(error, OverrideParseException):
        return (
            f"{error}\nA value with '=', spaces, brackets or commas needs quotes for the shell and for Hydra: "
            "'dataset.expression=\"my file (1).csv\"'"
        )
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, wrong = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={wrong}: no such choice. {choices(wrong, error.options)}"
    text = str(error)
    if found := re.match(r"Could not override '([^'@]+)[^']*'\.?\s*No match in the defaults list", text):
        return f"{found[1]}: no such group or key. {choices(found[1], _top_level())}"
    for e in _causes(error):
        full_key = str(getattr(e, "full_key", None) or "")
        parent = getattr(e, "parent_node", None)
        missing = re.match(r"Key '([^']*)' is not in struct|Key '([^']*)' not in", str(e))
        if missing and parent is not None:
            wrong = missing[1] or missing[2]
            here = [str(k) for k in parent if not str(k).startswith("_")] if isinstance(parent, DictConfig) else []
            allowed = here if full_key.count(".") else _top_level()
            return f"{full_key or wrong}: no such key. {choices(wrong, allowed)}"
        if isinstance(e, OmegaConfBaseException) and full_key:
            reason = str(e).split("\n")[0]
            if found := re.match(r"Invalid value '(.*)', expected one of \[(.*)\]", reason):
                return f"{full_key}={found[1]}: no such choice. {choices(found[1], found[2].split(', '))}"
            return f"{full_key}: {reason}"
    return text


def _top_level() -> list[str]:
    """Groups and keys of the top level."""
    conf = Path.cwd() / "conf"
    groups = [p.name for p in conf.iterdir() if p.is_dir()] if conf.is_dir() else []
    return list(dict.fromkeys([*(f.name for f in fields(Config)), *groups]))
