"""A user's mistake ends in one screen and exit code 1, without a traceback."""

import functools
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import yaml
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from beyondlinear.runtime.conf_dir import choices_of_groups, conf_dir
from beyondlinear.runtime.config import TOP_LEVEL
from beyondlinear.runtime.errors import ConfigError, UserError, exit_code_of
from beyondlinear.runtime.renamed import no_such_choice, no_such_key


def explain_errors(main: Callable[[], object]) -> Callable[[], object]:
    """Wrap a `hydra.main` function: a user's mistake ends in one screen and exit code 1, without a
    traceback.

    With HYDRA_FULL_ERROR=1 in the environment everything is raised as it is.
    """

    @functools.wraps(main)
    def wrapped() -> object:
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
            _leave(
                f"{str(e) or 'interrupted'}; finished fits are kept and the same command continues",
                exit_code_of(e),
            )
        finally:
            del os.environ["HYDRA_FULL_ERROR"]
        _leave(f"error: {text}\n(HYDRA_FULL_ERROR=1 shows where it was raised)", 1)

    return wrapped


@contextmanager
def hydra_errors() -> Iterator[None]:
    """Hydra's and OmegaConf's errors as a ConfigError, where a config is composed outside of
    `hydra.main`."""
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

    for cause in _causes(error):
        if isinstance(cause, UserError):
            return str(cause)
    if isinstance(error, OverrideParseException):
        return (
            f"{error}\nA value with '=', spaces, brackets or commas needs quotes for the shell and"
            " for Hydra: 'dataset.expression=\"my file (1).csv\"'"
        )
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, wrong = str(error.missing_cfg_file).rpartition("/")
        return no_such_choice(group, wrong, _offered(group, error.options))
    wrong_group = re.match(
        r"Could not override '([^'@]+)[^']*'\.?\s*No match in the defaults list", str(error)
    )
    if wrong_group:
        return no_such_key(wrong_group[1], _top_level())
    for cause in _causes(error):
        text = _explain_omegaconf(cause)
        if text is not None:
            return text
    return str(error)


def _explain_omegaconf(error: BaseException) -> str | None:
    """A key that is not there, or a value of the wrong type or choice; None: another error."""
    full_key = str(getattr(error, "full_key", None) or "")
    parent = getattr(error, "parent_node", None)
    missing = re.match(r"Key '([^']*)' is not in struct|Key '([^']*)' not in", str(error))
    if missing and parent is not None:
        allowed = _top_level()
        if full_key.count("."):
            allowed = _keys(parent)
        return no_such_key(full_key or missing[1] or missing[2], allowed)
    if not isinstance(error, OmegaConfBaseException) or not full_key:
        return None
    reason = str(error).split("\n")[0]
    wrong = re.match(r"Invalid value '(.*)', expected one of \[(.*)\]", reason)
    if wrong:
        return no_such_choice(full_key, wrong[1], wrong[2].split(", "))
    return f"{full_key}: {reason}"


def _keys(node: object) -> list[str]:
    if not isinstance(node, DictConfig):
        return []
    return [key for key in map(str, node) if not key.startswith("_")]


def _offered(group: str, options: Sequence[str]) -> list[str]:
    """The choices of a group that a user is meant to make: no bases, no old names.

    :param options: all that Hydra found, in a user's own --config-dir too
    """
    shipped = {path.stem for path in (conf_dir() / group).glob("*.yaml")}
    hidden = shipped - set(choices_of_groups([conf_dir()]).get(group, shipped))
    return [name for name in options if name not in hidden and not name.startswith("_")]


def _top_level() -> list[str]:
    """Groups and keys of the top level."""
    return list(dict.fromkeys([*TOP_LEVEL, *choices_of_groups([conf_dir()])]))
