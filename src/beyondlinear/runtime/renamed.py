"""What to say of a key or a value that nothing knows: its new name, or the closest one that is
allowed."""

from collections.abc import Sequence

from beyondlinear.runtime.errors import choices

# keys and values that had another name before
RENAMED = {
    "test": "residual_test",
    "split.tune_share": "split.validation_share",
    "trainer.epochs_without_tune": "trainer.epochs_without_validation",
    "protocol.fit_on=fit": "protocol.fit_on=train",
}


def no_such_key(key: str, allowed: Sequence[str]) -> str:
    """The error of a key that nothing reads, with its new name or the closest allowed one first.

    :param key: with the groups that it lies in, e.g. split.tune_share
    """
    if key in RENAMED:
        return f"{key}: no such key. did you mean '{RENAMED[key]}'? It has this name now"
    return f"{key}: no such key. {choices(key.rpartition('.')[2], allowed)}"


def no_such_choice(key: str, value: str, allowed: Sequence[str]) -> str:
    """The error of a value that is none of those allowed, with the closest one first."""
    given = f"{key}={value}"
    if given in RENAMED:
        return f"{given}: no such choice. did you mean '{RENAMED[given]}'? It has this name now"
    return f"{given}: no such choice. {choices(value, allowed)}"
