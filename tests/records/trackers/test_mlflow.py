"""MLflow's first use by several jobs at once, and a server that is not there."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from beyondlinear.records.trackers.mlflow import MLflow
from beyondlinear.records.trackers.server import Unreachable
from beyondlinear.records.trackers.subject import LogSubject

JOB = """
import sys, time
from pathlib import Path
from beyondlinear.records.trackers.mlflow import MLflow
from beyondlinear.records.trackers.subject import LogSubject
import mlflow.store.db.utils
Path(sys.argv[2]).touch()
while not Path(sys.argv[3]).exists():
    time.sleep(0.005)
subject = LogSubject("run", Path("."), {"job": sys.argv[2]})
logger = MLflow("sqlite:///" + sys.argv[1]).logger(subject)
for epoch in range(20):
    logger.log_metrics({"train_loss": 1 / (1 + epoch)}, epoch)
logger.finalize("success")
"""


@pytest.mark.slow  # three processes that import torch
def test_jobs_that_use_a_new_database_at_once_all_log_to_it(tmp_path: Path):
    database, go = tmp_path / "new" / "mlflow.db", tmp_path / "go"
    ready = [tmp_path / f"ready{i}" for i in range(3)]
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", JOB, str(database), str(r), str(go)],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
        )
        for r in ready
    ]
    while not all(r.exists() for r in ready) and all(j.poll() is None for j in jobs):
        time.sleep(0.01)
    go.touch()
    for job in jobs:
        _, said = job.communicate(timeout=600)
        assert job.returncode == 0, said.decode()
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{database}")
    runs = client.search_runs([client.get_experiment_by_name("beyondlinear").experiment_id])
    assert {r.data.tags["job"] for r in runs} == set(map(str, ready))
    assert {len(client.get_metric_history(r.info.run_id, "train_loss")) for r in runs} == {20}


def test_a_server_that_is_not_there_is_found_out(tmp_path: Path):
    with pytest.raises(Unreachable, match=r"http://127.0.0.1:9/health cannot be reached"):
        MLflow("http://127.0.0.1:9", timeout=1.0).logger(LogSubject("run", tmp_path))
