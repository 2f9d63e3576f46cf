import os
import signal
import threading

import pytest

from beyondlinear.runtime.errors import Terminated
from beyondlinear.runtime.stop_request import raise_if_stopped, sigterm_stops_fits, stop_fits


def test_sigterm_is_noted_and_put_back_as_it_was():
    before = signal.getsignal(signal.SIGTERM)
    with sigterm_stops_fits():
        raise_if_stopped()
        with sigterm_stops_fits():  # a fit within, which changes nothing
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Terminated, match="SIGTERM"):
            raise_if_stopped()
    assert signal.getsignal(signal.SIGTERM) == before
    raise_if_stopped()  # the next fit is not stopped


def test_fits_on_other_threads_are_stopped_too():
    stopped = []

    def fit():
        with sigterm_stops_fits():
            try:
                while True:
                    raise_if_stopped()
            except Terminated as e:
                stopped.append(e)

    with sigterm_stops_fits():
        thread = threading.Thread(target=fit)
        thread.start()
        stop_fits()
        thread.join(300)
    assert len(stopped) == 1
