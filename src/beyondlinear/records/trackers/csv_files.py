"""Files in the run directory, one folder a fit: metrics.csv, hparams.yaml, record.json; figure.png
of the run."""

from dataclasses import dataclass
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger

from beyondlinear.records.trackers.subject import LogSubject


@dataclass(frozen=True)
class CsvFiles:
    """directory: where the folders of the fits go."""

    directory: str

    def logger(self, subject: LogSubject) -> "CsvFolder":
        return CsvFolder(Path(self.directory) / subject.name)


class CsvFolder(CSVLogger):
    """Lightning's CSVLogger, with text and figures as files beside its own; rows are written as
    they come."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "metrics.csv").unlink(missing_ok=True)  # of an attempt that was interrupted
        super().__init__(folder.parent, folder.name, version="", flush_logs_every_n_steps=1)
        self.folder = folder

    def log_text(self, name: str, text: str) -> None:
        (self.folder / f"{name}.json").write_text(text, encoding="utf-8")

    def log_figure(self, name: str, png: bytes) -> None:
        (self.folder / f"{name}.png").write_bytes(png)
