"""The list of a run's fits: `fits_<key>.json` in its directory, whether they were made there or
found in the store."""

from pathlib import Path
from typing import NotRequired, TypedDict, cast

from beyondlinear.records.record import ComposedConfig
from beyondlinear.records.upgrade import upgrade_config, upgrade_names
from beyondlinear.runtime.files import read_json, unreadable


class ListedFit(TypedDict):
    """One fit of a run."""

    key: str  # of its record
    fold: int  # from 0
    fraction: float  # of the training samples, 0–1
    pretrained: NotRequired[bool | None]  # None: the split does not pretrain


class RunList(TypedDict):
    """What `fits_<key>.json` holds."""

    store: str  # folder of the records
    names: dict[str, str]  # group of the config → name of its choice
    seed: int  # of the run
    config: ComposedConfig  # as composed and resolved
    fits: list[ListedFit]  # in the order of folds


def read_run_list(path: Path) -> RunList:
    """A run's list of fits, with today's names where an earlier version wrote it.

    :raises ResultsError: a file that is missing or no list of fits
    """
    content = read_json(path)
    for field in ("store", "names", "config", "fits"):
        if field not in content:
            raise unreadable(path, f"a list of fits has {field}")
    try:
        content["names"] = upgrade_names(content["names"])
        content["config"] = upgrade_config(content["config"])
    except (AttributeError, TypeError, ValueError) as e:
        raise unreadable(path, f"{type(e).__name__}: {e}") from e
    return cast(RunList, content)
