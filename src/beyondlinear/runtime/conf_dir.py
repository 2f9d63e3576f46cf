"""Where the shipped configs lie: `conf/` in a clone of the repository, `beyondlinear/conf/` in an
installed package."""

from collections.abc import Iterable
from pathlib import Path

from beyondlinear.runtime.errors import ConfigError

_PACKAGE = Path(__file__).parents[1]


def conf_dir() -> Path:
    """The folder of `config.yaml` and the groups, as an absolute path.

    :raises ConfigError: neither place holds it
    """
    installed = _PACKAGE / "conf"
    in_a_clone = _PACKAGE.parents[1] / "conf"
    for folder in (installed, in_a_clone):
        if (folder / "config.yaml").is_file():
            return folder.resolve()
    raise ConfigError(
        f"the shipped configs are neither in {installed} nor in {in_a_clone}; install beyondlinear"
        " anew"
    )


def choices_of_groups(folders: Iterable[Path]) -> dict[str, list[str]]:
    """The groups of config folders, each with the choices that a user is meant to make, in order of
    the alphabet.

    Left out are bases that choices build on (`_network.yaml`), old names of renamed choices, and
    Hydra's own group.
    """
    found: dict[str, set[str]] = {}
    for folder in folders:
        for path in folder.glob("*/*.yaml"):
            group = path.parent.name
            if group != "hydra" and not path.name.startswith("_") and not is_old_name(path):
                found.setdefault(group, set()).add(path.stem)
    return {group: sorted(found[group]) for group in sorted(found)}


def is_old_name(path: Path) -> bool:
    """Whether a choice is only the old name of another: its file opens by saying so."""
    return path.read_text(encoding="utf-8").startswith("# The old name of ")
