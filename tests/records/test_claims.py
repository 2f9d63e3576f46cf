import json
import os
import subprocess
import sys

import pytest

from beyondlinear.records.claims import Claims
from beyondlinear.records.run_state import LOST, process
from beyondlinear.runtime.errors import ResultsError


def test_one_maker(tmp_path):
    mine, yours = Claims(tmp_path), Claims(tmp_path)
    with mine.taken("k") as ours:
        assert ours
        assert yours.holder("k")["pid"] == os.getpid()
        with yours.taken("k") as theirs:
            assert not theirs
        with yours.taken("other") as theirs:
            assert theirs
    assert yours.holder("k") is None
    with yours.taken("k") as theirs:
        assert theirs


def test_the_dead_hold_nothing(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    from beyondlinear.records.run_state import born

    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "k").write_text(
        json.dumps(process() | {"pid": child.pid, "born": born(child.pid)})
    )
    assert Claims(tmp_path).holder("k")["pid"] == child.pid
    child.kill()
    child.wait()
    assert Claims(tmp_path).holder("k") is None
    with Claims(tmp_path).taken("k") as ours:
        assert ours


def test_a_pid_that_was_given_out_again_holds_nothing(tmp_path):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "k").write_text(json.dumps(process() | {"born": "1"}))
    assert Claims(tmp_path).holder("k") is None


def test_on_another_machine_the_pulse_counts(tmp_path):
    (tmp_path / "claims").mkdir()
    path = tmp_path / "claims" / "k"
    path.write_text(json.dumps(process() | {"host": "elsewhere"}))
    assert Claims(tmp_path).holder("k")["host"] == "elsewhere"
    old = path.stat().st_mtime - LOST - 1
    os.utime(path, (old, old))
    assert Claims(tmp_path).holder("k") is None


def test_a_claim_is_given_back_when_a_fit_raises(tmp_path):
    with pytest.raises(KeyboardInterrupt), Claims(tmp_path).taken("k"):
        raise KeyboardInterrupt
    assert not list((tmp_path / "claims").iterdir())


def test_a_store_that_cannot_be_written(tmp_path):
    (tmp_path / "claims").write_text("a file")
    with (
        pytest.raises(ResultsError, match="make room or choose another"),
        Claims(tmp_path).taken("k"),
    ):
        pass
