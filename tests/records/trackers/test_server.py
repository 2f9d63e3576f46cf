import socket
import threading

import pytest

from beyondlinear.records.trackers.server import Unreachable, probe, within


def test_what_comes_in_time_is_returned_and_what_fails_is_raised():
    assert within(300, lambda: 3, lambda late: None, "it") == 3
    with pytest.raises(ZeroDivisionError):
        within(300, lambda: 1 / 0, lambda late: None, "it")


def test_what_comes_late_is_discarded():
    go, discarded = threading.Event(), threading.Event()
    late = []

    def make() -> str:
        go.wait()
        return "late"

    def discard(made: str) -> None:
        late.append(made)
        discarded.set()

    with pytest.raises(Unreachable, match=r"the server did not answer within 0.05 s"):
        within(0.05, make, discard, "the server")
    go.set()
    assert discarded.wait(300)
    assert late == ["late"]


def test_an_address_where_nobody_listens_is_named():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Unreachable, match=rf"{url} cannot be reached \(ConnectionError\)"):
        probe(url, 60)
