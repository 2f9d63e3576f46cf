"""A long fit goes on where it was stopped: the state of its training at the end of an epoch, on
disk.

What is put back: weights, optimizer, epoch, the history, the best weights, the stopper's count, the
generators of the batch order and of dropout, the GPU's where that trains. A resumed fit ends in the
bits of an undisturbed one on the same machine.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

log = logging.getLogger(__name__)


class CheckpointFile:
    """One fit's checkpoint, written when `minutes` have passed since the last time.

    engine: who writes and reads it; one of the other engine is of no use. A disk that is full costs
    the checkpoint, not the fit.
    """

    def __init__(self, path: Path, minutes: float, engine: str) -> None:
        self.path = path
        self.seconds = 60 * minutes
        self.engine = engine
        self.saved = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """The checkpoint of an earlier attempt at this fit, if there is one that can be read."""
        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as e:  # torch raises what it likes on a damaged file
            self._put_aside(type(e).__name__)
            return None
        if state.get("engine", "lightning") != self.engine:
            self._put_aside("it is of another trainer.engine")
            return None
        log.info("this fit goes on from %s", self.path)
        return state

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self.saved >= self.seconds

    def write(self, save: Callable[[Path], None]) -> None:
        """:param save: writes the state to the path it is given"""
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save(temporary)
            os.replace(temporary, self.path)
        except (OSError, RuntimeError) as e:
            log.warning("no checkpoint of this fit: %s", e)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        self.saved = time.monotonic()

    def _put_aside(self, reason: str) -> None:
        log.warning("%s is not a readable checkpoint (%s); the fit begins anew", self.path, reason)
        self.path.unlink(missing_ok=True)


class EpochCheckpoint(Checkpoint):
    """Lightning's callback around a `CheckpointFile`.

    A `Checkpoint`, which Lightning calls after the module and all other callbacks of the same
    epoch.
    """

    def __init__(self, path: Path, minutes: float) -> None:
        self.file = CheckpointFile(path, minutes, "lightning")
        self.generators: dict[str, torch.Tensor] = {}
        self.device = torch.device("cpu")

    def resumable(self) -> Path | None:
        """Where Lightning goes on from, if there is a checkpoint."""
        return self.file.path if self.file.read() is not None else None

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.device = module.device
        if self.file.is_due and not trainer.should_stop:
            self.file.write(trainer.save_checkpoint)

    def state_dict(self) -> dict[str, Any]:
        states = {"torch": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        return states

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generators = state

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # whatever Lightning drew between loading and here is not of the undisturbed fit
        if self.generators:
            torch.set_rng_state(self.generators["torch"])
        if "cuda" in self.generators:
            torch.cuda.set_rng_state(self.generators["cuda"], module.device)
        self.generators = {}
