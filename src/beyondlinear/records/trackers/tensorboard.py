"""Event files for TensorBoard: `tensorboard --logdir RUN_OR_SWEEP`."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytorch_lightning.loggers import TensorBoardLogger

from beyondlinear.records.trackers.subject import LogSubject, require


@dataclass(frozen=True)
class TensorBoard:
    """directory: where the folders of the fits go."""

    directory: str

    def __post_init__(self) -> None:
        require("tensorboard", "beyondlinear[tensorboard]", "tensorboard")

    def logger(self, subject: LogSubject) -> "TensorBoardFolder":
        return TensorBoardFolder(Path(self.directory) / subject.name)


class TensorBoardFolder(TensorBoardLogger):
    """Lightning's TensorBoardLogger; hyperparameters are written once, with the final metrics
    beside them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder.parent, folder.name, version="", default_hp_metric=False)
        self._final_metrics: dict[str, float] = {}
        self._final_step: int | None = None

    def log_hyperparams(  # type: ignore[override]
        self, params: Mapping[str, object], *arguments: object, **keywords: object
    ) -> None:
        self.hparams.update(params)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        final = {name: value for name, value in metrics.items() if name.startswith("final/")}
        if final:
            self._final_metrics = final
            self._final_step = step
        super().log_metrics(dict(metrics), step)

    def log_text(self, name: str, text: str) -> None:
        self.experiment.add_text(name, f"```json\n{text}\n```")

    def log_figure(self, name: str, png: bytes) -> None:
        import numpy as np
        from PIL import Image

        self.experiment.add_image(
            name, np.asarray(Image.open(io.BytesIO(png)).convert("RGB")), dataformats="HWC"
        )

    def save(self) -> None:
        """Lightning saves while it trains, and would keep the hyperparameters known by then for
        good."""
        self.experiment.flush()

    def finalize(self, status: str) -> None:
        metrics = self._final_metrics or None
        super().log_hyperparams(dict(self.hparams), metrics, self._final_step)
        super().finalize("failed")  # it closes the file; "success" would save as well
        super().save()
