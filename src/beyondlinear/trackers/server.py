"""Whether a tracking server answers, found out in seconds."""

import threading
from collections.abc import Callable
from typing import Any

import requests


class Unreachable(ConnectionError):
    """A server that refuses, hangs, or answers errors."""


def within(seconds: float, make: Callable[[], Any], discard: Callable[[Any], None], what: str) -> Any:
    """What `make` returns, if it does in time; what it returns later is discarded, and its thread ends with the process.

    :raises Unreachable: it did not in time
    """
    done, lock, late = threading.Event(), threading.Lock(), False
    result: list[Any] = []
    error: list[BaseException] = []

    def work() -> None:
        try:
            made = make()
        except BaseException as e:
            error.append(e)
        else:
            with lock:
                if not late:
                    result.append(made)
            if not result:
                discard(made)
        done.set()

    threading.Thread(target=work, daemon=True).start()
    done.wait(seconds)
    with lock:
        late = True
    if error:
        raise error[0]
    if not result:
        raise Unreachable(f"{what} did not answer within {seconds:g} s")
    return result[0]


def probe(url: str, seconds: float, headers: dict[str, str] | None = None) -> None:
    """:raises Unreachable: nothing at the address answers a GET in time, or it answers an error"""

    def get() -> requests.Response:
        return requests.get(url, headers=headers, timeout=seconds)

    try:
        answer = within(seconds, get, lambda late: None, url)
    except requests.Timeout as e:
        raise Unreachable(f"{url} did not answer within {seconds:g} s") from e
    except requests.RequestException as e:
        raise Unreachable(f"{url} cannot be reached ({type(e).__name__})") from e
    if not answer.ok:
        raise Unreachable(f"{url} answered {answer.status_code} {answer.reason}")
