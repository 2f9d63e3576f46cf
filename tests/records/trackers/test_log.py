import logging

import pytest
from pytorch_lightning.loggers.logger import Logger

from beyondlinear.records.trackers.log import ActiveTrackers, TrackerLog
from beyondlinear.records.trackers.subject import LogSubject


class Kept(Logger):
    """Keeps what it is told; fails in the method named `fails_in`."""

    name, version = "kept", ""

    def __init__(self, fails_in: str = "") -> None:
        super().__init__()
        self.fails_in = fails_in
        self.told: list[tuple] = []

    def _keep(self, method: str, *arguments: object) -> None:
        if method == self.fails_in:
            raise OSError(f"no space left for {method}")
        self.told.append((method, *arguments))

    def log_metrics(self, metrics, step=None):
        self._keep("log_metrics", metrics, step)

    def log_hyperparams(self, params):
        self._keep("log_hyperparams", params)

    def save(self):
        self._keep("save")

    def finalize(self, status):
        self._keep("finalize", status)


@pytest.fixture
def opened():
    """Two trackers, of which the second is given to the Trainer as it is, and their log."""
    ours, lightnings = Kept(), Kept()
    active = ActiveTrackers({"ours": lambda s: ours, "lightnings": lambda s: lightnings})
    return TrackerLog(active, {"ours": ours}, {"lightnings": lightnings}), ours, lightnings


def test_the_losses_of_an_epoch_are_logged_together(opened):
    log, ours, lightnings = opened
    log.log_metrics({"validation_loss": 0.75, "epoch": 0}, step=12)
    assert ours.told == []
    log.log_metrics({"train_loss": 0.5, "epoch": 0}, step=12)
    assert ours.told == [("log_metrics", {"validation_loss": 0.75, "train_loss": 0.5}, 0)]
    assert log.epochs == {0}
    assert lightnings.told == []  # the Trainer told it


def test_what_the_trainer_does_not_know_goes_to_all(opened):
    log, ours, lightnings = opened
    log.log_hyperparams({"key": "ab12"})
    log.log_further_metrics({"final/accuracy": 0.5}, 3)
    log.finalize("success")  # of Lightning, before the final metrics
    log.close("failed")
    assert ours.told == lightnings.told
    assert ours.told == [
        ("log_hyperparams", {"key": "ab12"}),
        ("log_metrics", {"final/accuracy": 0.5}, 3),
        ("save",),
        ("finalize", "failed"),
    ]
    assert log.is_empty


def test_a_logger_without_the_method_is_passed_over(opened):
    log, ours, _ = opened
    log.log_text("record", "{}")
    log.log_figure("figure", b"")
    assert ours.told == []


def test_the_first_failure_ends_a_tracker_with_one_warning(caplog, tmp_path):
    broken, sound = Kept("log_hyperparams"), Kept()
    active = ActiveTrackers({"broken": lambda s: broken, "sound": lambda s: sound})
    log = TrackerLog(active, active.loggers(LogSubject("fit", tmp_path)))
    with caplog.at_level(logging.WARNING):
        log.log_hyperparams({"seed": 0})
        log.log_hyperparams({"seed": 1})
        log.log_further_metrics({"loss": 1.0}, 0)
    assert "broken" not in active
    assert [r.getMessage().split(" (")[0] for r in caplog.records] == [
        "warning: tracker broken failed and logs no more in this run"
    ]
    assert broken.told == []
    assert len(sound.told) == 3


def test_a_tracker_that_cannot_begin_is_dropped_too(tmp_path):
    def fails(subject: LogSubject) -> Logger:
        raise OSError("no space left")

    active = ActiveTrackers({"broken": fails, "silent": lambda subject: None})
    assert active.loggers(LogSubject("run", tmp_path)) == {}
    assert "broken" not in active
    assert "silent" in active


def test_an_interrupt_is_no_failure_of_a_tracker():
    active = ActiveTrackers({"mine": lambda subject: None})
    with pytest.raises(KeyboardInterrupt), active.guarded("mine"):
        raise KeyboardInterrupt
    assert "mine" in active
