"""Whether a tracking server answers, found out in seconds."""

import threading
from collections.abc import Callable
from typing import TypeVar

import requests

Result = TypeVar("Result")


class Unreachable(ConnectionError):
    """A server that refuses, hangs, or answers errors."""


def within(
    seconds: float, make: Callable[[], Result], discard: Callable[[Result], None], what: str
) -> Result:
    """What `make` returns, if it does in time; what it returns later is discarded, and its thread
    ends with the process.

    :param what: whom an error names
    :raises Unreachable: it did not in time
    """
    done = threading.Event()
    lock = threading.Lock()
    is_late = False
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            result = make()
        except BaseException as e:
            errors.append(e)
        else:
            with lock:
                in_time = not is_late
                if in_time:
                    results.append(result)
            if not in_time:
                discard(result)
        done.set()

    threading.Thread(target=work, daemon=True).start()
    done.wait(seconds)
    with lock:
        is_late = True
    if errors:
        raise errors[0]
    if not results:
        raise Unreachable(f"{what} did not answer within {seconds:g} s")
    return results[0]


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
