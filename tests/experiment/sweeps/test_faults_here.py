"""Accidents of a sweep on one machine."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from faults import Sweep, equal, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    sweep = Sweep(tmp_path_factory.mktemp("undisturbed"))
    sweep.run()
    assert sweep.status()[0] == 0
    return sweep.table()


@pytest.fixture
def sweep(tmp_path):
    return Sweep(tmp_path, "hydra/launcher=local", "hydra.launcher.processes=2")


def processes_of(sweep):
    return [s for s in sweep.states() if s["status"] == "running"]


def test_ctrl_c(sweep, undisturbed):
    running = sweep.start()
    until(lambda: sweep.records() >= 2)
    running.send_signal(signal.SIGINT)
    assert running.wait(60) == 130
    assert "the same command continues" in sweep.said()
    code, text = sweep.status()
    assert code == 1
    assert "2 stopped, 2 missing" in text or "stopped" in text
    assert sweep.run()
    assert sweep.status()[0] == 0
    equal(sweep.table(), undisturbed)


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "stopped by SIGTERM")],
)
def test_stopped_in_the_middle_of_a_fit(tmp_path, undisturbed, number, code, reason):
    sweep = Sweep(tmp_path)
    running = sweep.start()
    until(
        lambda: list((tmp_path / "outputs" / "records" / "checkpoints").glob("*.ckpt")), every=0.02
    )
    running.send_signal(number)
    assert running.wait(60) == code
    assert f"{reason}; finished fits are kept and the same command continues" in sweep.said()
    assert [(s["status"], s["reason"]) for s in sweep.states()] == [("stopped", reason)]
    assert "goes on from" in sweep.run()
    equal(sweep.table(), undisturbed)


def test_terminated_process_of_a_run(sweep, undisturbed):
    running = sweep.start()
    until(lambda: sweep.records() >= 1)
    until(lambda: processes_of(sweep))
    os.kill(processes_of(sweep)[0]["pid"], signal.SIGTERM)
    assert running.wait(240) == 1
    assert "its process was killed by SIGTERM" in sweep.said()
    assert sweep.run()
    equal(sweep.table(), undisturbed)


def test_killed_process_of_a_run(sweep, undisturbed):
    running = sweep.start()
    until(lambda: sweep.records() >= 1)
    until(lambda: processes_of(sweep))
    os.kill(processes_of(sweep)[0]["pid"], signal.SIGKILL)
    assert running.wait(240) == 1
    assert "its process was killed by SIGKILL (out of memory?)" in sweep.said()
    code, text = sweep.status()
    assert code == 1
    assert "4 runs: 1 died, 3 finished" in text
    assert "is gone" in text
    assert sweep.run()
    equal(sweep.table(), undisturbed)


def test_submitting_process_dies(sweep, undisturbed):
    running = sweep.start()
    until(lambda: sweep.records() >= 1)
    running.kill()
    running.wait()
    # the orphans finish the run that they were making; what they make is waited for, not made twice
    assert sweep.run()
    assert sweep.status()[0] == 0
    equal(sweep.table(), undisturbed)


def test_one_run_of_four_raises(tmp_path, undisturbed):
    sweep = Sweep(tmp_path, "hydra/launcher=local", "hydra.launcher.processes=1", "seed=0,-1")
    text = sweep.run(expect=1)
    assert "2 of 4 runs failed, the first with: seed: -1 is negative" in text
    code, text = sweep.status()
    assert code == 1
    assert "4 runs: 2 failed, 2 finished" in text
    assert "seed=-1 hydra.mode=RUN" in text.replace("\n", " ")
    half = sweep.table()
    assert half.equals(undisturbed[undisturbed.seed == 0].reset_index(drop=True))


def test_two_sweeps_share_a_store(tmp_path, undisturbed):
    first = Sweep(tmp_path, "hydra/launcher=local", "hydra.launcher.processes=1")
    second = Sweep(
        tmp_path, "hydra/launcher=local", "hydra.launcher.processes=1", "hydra.sweep.dir=other"
    )
    a, b = first.start(), second.start()
    assert a.wait(240) == 0
    assert b.wait(240) == 0
    logs = "".join(p.read_text() for p in tmp_path.glob("*/processes/*.log"))
    made = (
        logs.count("balanced accuracy 0.")
        + logs.count("balanced accuracy 1.")
        - logs.count("(made by another run)")
    )
    assert made >= 12
    assert first.records() == 12
    equal(first.table(), undisturbed)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="mounting a small disk needs root"
)
def test_the_disk_fills(tmp_path, undisturbed):
    small = tmp_path / "outputs"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", str(small)], check=False
    ).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        sweep = Sweep(tmp_path, "hydra/launcher=local", "hydra.launcher.processes=1")
        text = sweep.run(expect=1)
        assert "No space left on device" in text
        assert "make room or choose another results.store" in text.replace("\n", " ")
        kept = sweep.records()
        code, text = sweep.status()
        assert code == 1
        assert "No space left on device" in " ".join(
            text.replace("│", " ").split()
        )  # a cell of a table, wrapped
        subprocess.run(["mount", "-o", "remount,size=50m", str(small)], check=True)
        assert sweep.run()
        assert sweep.records() == 12 > kept
        equal(sweep.table(), undisturbed)
    finally:
        subprocess.run(["umount", str(small)], check=False)


def test_killed_in_the_middle_of_a_fit(tmp_path, undisturbed):
    command = [*Sweep(tmp_path).command, "signal_removal=none", "seed=0"]
    running = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until(lambda: list(tmp_path.glob("outputs/records/checkpoints/*.ckpt")), every=0.02)
    running.kill()
    running.wait()
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "this fit goes on from" in done.stdout
    assert not list(tmp_path.glob("outputs/records/checkpoints/*.ckpt"))
    assert "python" in sys.executable
    table = Sweep(tmp_path).table()
    wanted = undisturbed[
        (undisturbed.seed == 0) & (undisturbed.signal_removal == "none")
    ].reset_index(drop=True)
    assert table.equals(wanted)
