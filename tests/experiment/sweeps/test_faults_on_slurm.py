"""Accidents of a sweep on a real SLURM."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from faults import Sweep, equal, until

pytestmark = pytest.mark.slow

SLURM = (
    "hydra/launcher=slurm",
    "hydra.launcher.poll=1",
    "hydra.launcher.memory=2",
    "hydra.launcher.max_tasks=2",
)


def works() -> bool:
    if shutil.which("sinfo") is None:
        return False
    done = subprocess.run(
        ["sinfo", "-h", "-o", "%t"], capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode == 0 and any(state in done.stdout for state in ("idle", "mix", "alloc"))


@pytest.fixture(autouse=True)
def cluster():
    if shutil.which("sinfo") is None:
        pytest.skip("needs SLURM")
    try:
        until(works, 30)  # a node is "completing" for a moment after a job was cancelled
    except AssertionError:
        pytest.skip("needs a SLURM with a node that is up")
    yield
    subprocess.run(["scancel", "--user", str(os.geteuid())], check=False)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    sweep = Sweep(tmp_path_factory.mktemp("undisturbed"))
    sweep.run()
    return sweep.table()


@pytest.fixture
def sweep(tmp_path):
    return Sweep(tmp_path, *SLURM)


def jobs(sweep):
    done = subprocess.run(
        ["squeue", "-h", "--array", "-o", "%i"], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def has(name: str) -> bool:
    return shutil.which(name) is not None


def test_undisturbed(sweep, undisturbed):
    text = sweep.run()
    assert "4 runs in 2 tasks of SLURM job" in text
    assert "run 4 of 4" in text
    assert sweep.status()[0] == 0
    equal(sweep.table(), undisturbed)
    before = sweep.records()
    again = sweep.run()  # everything is found
    assert sweep.records() == before
    assert "FAILED" not in again


def test_cancelled_job(sweep, undisturbed):
    running = sweep.start()
    until(lambda: sweep.records() >= 1)
    subprocess.run(["scancel", jobs(sweep)[0].split("_")[0]], check=True)
    assert running.wait(120) == 1
    assert "CANCELLED" in sweep.said()
    code, text = sweep.status()
    assert code == 1
    assert "CANCELLED" in text or "SIGTERM" in text
    assert sweep.run()
    assert sweep.status()[0] == 0
    equal(sweep.table(), undisturbed)


def test_task_killed_with_kill_9(sweep, undisturbed):
    running = sweep.start()
    until(lambda: sweep.records() >= 1 and [s for s in sweep.states() if s["status"] == "running"])
    pid = next(s["pid"] for s in sweep.states() if s["status"] == "running")
    os.kill(pid, signal.SIGKILL)
    assert running.wait(240) == 1
    code, text = sweep.status()
    assert code == 1
    assert "died" in text
    assert "FAILED" in text
    assert sweep.run()
    equal(sweep.table(), undisturbed)


def test_time_limit_requeues_and_goes_on(tmp_path, undisturbed):
    """One task of four runs is signalled when 20 s of its minute are over, and goes on in the same
    job."""
    sweep = Sweep(
        tmp_path,
        *SLURM[:-1],
        "hydra.launcher.max_tasks=1",
        "hydra.launcher.time=1",
        "hydra.launcher.signal_delay=40",
    )
    running = sweep.start()
    assert running.wait(400) == 0, sweep.said()
    logs = "".join(p.read_text() for p in Path(sweep.dir).glob("slurm/*/*.out"))
    assert "Requeued job" in logs or "requeue" in logs.lower()
    assert sweep.status()[0] == 0
    equal(sweep.table(), undisturbed)


def test_scheduler_and_node_restart(sweep, undisturbed):
    if not os.path.exists("/run/slurmctld.pid") or os.geteuid() != 0:
        pytest.skip("restarting SLURM needs to be its owner")
    running = sweep.start()
    until(lambda: sweep.records() >= 1)
    for name in ("slurmctld", "slurmd"):
        pid = int(Path(f"/run/{name}.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        until(
            lambda pid=pid: (
                not Path(f"/proc/{pid}").exists()
                or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]
            )
        )
    subprocess.run(["setsid", "slurmctld"], stdin=subprocess.DEVNULL, check=True)
    subprocess.run(["setsid", "slurmd"], stdin=subprocess.DEVNULL, check=True)
    until(works)
    assert running.wait(240) == 0, sweep.said()
    assert sweep.status()[0] == 0
    equal(sweep.table(), undisturbed)


def test_submitting_process_dies(sweep, undisturbed):
    running = sweep.start()
    until(lambda: sweep.records() >= 1)
    running.kill()
    running.wait()
    code, text = sweep.status()
    assert code == 3
    assert "running" in text
    assert sweep.run()
    assert sweep.status()[0] == 0
    equal(sweep.table(), undisturbed)


def test_one_run_of_four_raises(tmp_path, undisturbed):
    sweep = Sweep(tmp_path, *SLURM, "seed=0,-1")
    text = sweep.run(expect=1)
    assert "2 of 4 runs failed" in text
    assert "4 runs: 2 failed, 2 finished" in sweep.status()[1]


def test_refused_submission(tmp_path):
    text = Sweep(tmp_path, *SLURM, "hydra.launcher.partition=nowhere").run(expect=1)
    assert "sbatch refused" in text
    assert "nowhere" in text or "invalid partition" in text
