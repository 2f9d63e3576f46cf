import logging

import pytest

from beyondlinear.runtime.progress import FitProgress, duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3.21, "3.2 s"), (250, "4 min 10 s"), (7500, "2 h 5 min"), (59.96, "60.0 s")],
)
def test_duration(seconds, words):
    assert duration(seconds) == words


def test_a_line_a_fit_where_there_is_no_terminal(caplog):
    caplog.set_level(logging.INFO)
    with FitProgress(2, "a_model") as progress:
        progress.epoch(1, 50)
        progress.fit_done("fold 0")
        progress.fit_done("fold 1")
    first, second = [record.getMessage() for record in caplog.records]
    assert first.startswith("fit 1 of 2  fold 0; about ")
    assert first.endswith(" left")
    assert second == "fit 2 of 2  fold 1"
