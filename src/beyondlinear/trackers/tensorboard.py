"""Event files for TensorBoard: `tensorboard --logdir RUN_OR_SWEEP`."""

import io
from dataclasses import dataclass
from typing import Any

from pytorch_lightning.loggers import TensorBoardLogger

from beyondlinear.trackers.tracking import Place, require


@dataclass(frozen=True)
class TensorBoard:
    """directory: where the folders of the fits go."""

    directory: str

    def __post_init__(self) -> None:
        require("tensorboard", "beyondlinear[tensorboard]", "tensorboard")

    def logger(self, place: Place) -> "TensorBoardFolder":
        return TensorBoardFolder(self.directory, place.name, version="", default_hp_metric=False)


class TensorBoardFolder(TensorBoardLogger):
    """Lightning's TensorBoardLogger; hyperparameters are written once, with the final metrics beside them."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._final: dict[str, float] = {}
        self._step: int | None = None

    def log_hyperparams(self, params: Any, metrics: Any = None, step: int | None = None) -> None:
        self.hparams.update(params)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        final = {k: v for k, v in metrics.items() if k.startswith("final/")}
        if final:
            self._final, self._step = final, step
        super().log_metrics(metrics, step)

    def log_text(self, name: str, text: str) -> None:
        self.experiment.add_text(name, f"```json\n{text}\n```")

    def log_figure(self, name: str, png: bytes) -> None:
        import numpy as np
        from PIL import Image

        self.experiment.add_image(name, np.asarray(Image.open(io.BytesIO(png)).convert("RGB")), dataformats="HWC")

    def save(self) -> None:
        """Lightning saves while it trains, and would keep the hyperparameters known by then for good."""
        self.experiment.flush()

    def finalize(self, status: str) -> None:
        super().log_hyperparams(dict(self.hparams), self._final or None, self._step)
        super().finalize("failed")  # it closes the file; "success" would save as well
        super().save()
