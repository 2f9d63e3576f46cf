"""How a compiled fit is stopped: SIGTERM is noted, and the fit ends after the epoch under way.

Lightning does the same for the fits that it trains.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from beyondlinear.runtime.errors import Terminated

_stop = threading.Event()


@contextmanager
def sigterm_stops_fits() -> Iterator[None]:
    """Within, SIGTERM ends every compiled fit of this process after its epoch, with `Terminated`.

    To be entered by the main thread, which alone can be told of signals: by a fit that runs there,
    or by whoever runs fits on other threads. Elsewhere, and inside itself, it does nothing.
    """

    def note(number: int, frame: FrameType | None) -> None:
        _stop.set()

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or _is_entered():
        yield
        return
    before = signal.signal(signal.SIGTERM, note)
    note.is_ours = True  # type: ignore[attr-defined]
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _stop.clear()


def stop_fits() -> None:
    """End every compiled fit of this process after its epoch, as SIGTERM does: for whoever hears
    Ctrl-C while fits run on other threads. Only within `sigterm_stops_fits`, which forgets it."""
    _stop.set()


def raise_if_stopped() -> None:
    """:raises Terminated: the fits of this process are to end"""
    if _stop.is_set():
        raise Terminated("stopped by SIGTERM")


def _is_entered() -> bool:
    return getattr(signal.getsignal(signal.SIGTERM), "is_ours", False)
