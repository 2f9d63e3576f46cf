"""The errors a user can cause. They are shown without a traceback, so their text must say
everything."""

import signal
from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """Something the user gave is wrong. The message names the value, the rule and the remedy."""


class ConfigError(UserError):
    """A key, a choice or a type in the composed config."""


class DataError(UserError):
    """The expression matrix, its metadata, or the match of the two."""


class ControlError(UserError):
    """A control that cannot be made from the data."""


class SplitError(UserError):
    """No split, or no part of one, that meets its conditions."""


class RemovalError(UserError):
    """Signal removal that is not defined on the rows it was given."""


class SignalTestError(UserError):
    """A test for signal that cannot be made on these data."""


class TuningError(UserError):
    """No hyperparameters could be chosen."""


class OptimumError(UserError):
    """A linear problem that has no optimum, or none that could be certified."""


class ResultsError(UserError):
    """Records that cannot be read, written or gathered."""


class Terminated(KeyboardInterrupt):
    """SIGTERM while something trains: as Ctrl-C, with an exit code of its own."""


def exit_code_of(stop: KeyboardInterrupt) -> int:
    """As shells give it: 128 + the signal's number."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


def choices(wrong: object, allowed: Iterable[object], limit: int = 30) -> str:
    """Allowed values in one line, the closest match to `wrong` first.

    >>> choices("fiv_layer", ["three_layer", "five_layer"])
    "did you mean 'five_layer'? Allowed: five_layer, three_layer"
    """
    names = list(dict.fromkeys(str(a) for a in allowed))
    by_lower = {name.lower(): name for name in names}
    close = [by_lower[m] for m in get_close_matches(str(wrong).lower(), by_lower, n=3, cutoff=0.5)]
    ordered = close + sorted(n for n in names if n not in close)
    shown = ", ".join(ordered[:limit]) + (
        f", … ({len(ordered)} in all)" if len(ordered) > limit else ""
    )
    return (f"did you mean '{close[0]}'? " if close else "") + f"Allowed: {shown or '(none)'}"
