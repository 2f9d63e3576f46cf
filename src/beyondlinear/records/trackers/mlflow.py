"""MLflow: a file of SQLite that all jobs of a sweep share, or a server."""

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock
from pytorch_lightning.loggers import MLFlowLogger

from beyondlinear.records.trackers.server import probe
from beyondlinear.records.trackers.subject import RUN, LogSubject, require

_LOCKED = 60  # seconds that a writer waits for the others of the same SQLite file


@dataclass
class MLflow:
    """uri: sqlite:///FILE or http(s)://SERVER; experiment: its name there; timeout: seconds that a
    server has to answer.

    The run is an MLflow run, and each of its fits one below it.
    """

    uri: str
    experiment: str = "beyondlinear"
    timeout: float = 3.0
    _parent: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        require("mlflow", "beyondlinear[mlflow]", "mlflow")
        # MLflow 3 reports usage to its makers
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # a dead server must not hold up a fit
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(max(1, round(self.timeout))))

    def logger(self, subject: LogSubject) -> "MLflowRun":
        import mlflow.store.db.utils  # noqa: F401

        # after the import, which sets them
        for name in ("mlflow", "mlflow.store.db.utils", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        artifacts = None
        uri = self.uri
        if uri.startswith("sqlite:///"):
            file = Path(uri.removeprefix("sqlite:///").split("?")[0]).absolute()
            artifacts = (file.parent / "mlartifacts").as_uri()
            uri = f"sqlite:///{file}?timeout={_LOCKED}"
            if self._parent is None:
                create_schema(file, uri, self.experiment, artifacts)
        elif self._parent is None and uri.startswith("http"):
            probe(f"{uri.rstrip('/')}/health", self.timeout)
        tags = {**subject.tags, "directory": str(subject.directory)}
        if self._parent is not None:
            tags["mlflow.parentRunId"] = self._parent
        logger = MLflowRun(
            self.experiment,
            run_name=subject.name,
            tracking_uri=uri,
            tags=tags,
            artifact_location=artifacts,
        )
        if subject.name == RUN:
            self._parent = logger.run_id
        return logger


def create_schema(file: Path, uri: str, experiment: str, artifacts: str) -> None:
    """Tables and experiment, by one process at a time: MLflow itself fails where several create
    them at once."""
    from mlflow.tracking import MlflowClient

    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock", timeout=300):
        client = MlflowClient(uri)
        if client.get_experiment_by_name(experiment) is None:
            client.create_experiment(experiment, artifact_location=artifacts)


class MLflowRun(MLFlowLogger):
    """Lightning's MLFlowLogger, with text and figures as artefacts."""

    def log_text(self, name: str, text: str) -> None:
        self.experiment.log_text(self.run_id, text, f"{name}.json")

    def log_figure(self, name: str, png: bytes) -> None:
        import io

        from PIL import Image

        self.experiment.log_image(self.run_id, Image.open(io.BytesIO(png)), f"{name}.png")

    def finalize(self, status: str = "success") -> None:
        """:param status: Lightning's word, success | failed, which MLflow has others for"""
        super().finalize({"success": "FINISHED", "failed": "FAILED"}.get(status, status))
