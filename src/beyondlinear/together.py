"""Many fits of linear or small networks trained together: one loop of Lightning around all of them.

An epoch of one such fit is some milliseconds, as long as what Lightning does around it. Here a step of the loop is some epochs
of every fit that still trains, on as many threads as a fit may have. Each fit keeps its own weights, optimizer, batch order,
best epoch and end, and makes each epoch on one thread: it ends in the bits that it ends in alone, whatever trains beside it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytorch_lightning as pl
import torch

from beyondlinear.classifier import NetworkModel, plain_trainer, train, why_stopped
from beyondlinear.datamodule import PartsDataModule, Whole
from beyondlinear.losses import LOSSES
from beyondlinear.networks import Linear
from beyondlinear.small_net_epoch import layout
from beyondlinear.training import FitData, Outcome, Training, TrainingDiverged
from beyondlinear.training_loop import BestWeights, is_compiled

AT_ONCE = 32  # fits: more save no time, and what is killed makes its last ones again
STATE = 2**27  # bytes of their weights with Adam's moments, gradients and best weights
IN_A_ROW = 10  # epochs of a member, whose data then stay in the cache, and after which Ctrl-C is heard


def fit_together(fits: Sequence[tuple[NetworkModel, FitData]], training: Training) -> list[Outcome | TrainingDiverged]:
    """What `model.fit(data, training)` gives for each of these, to the last bit; in place of what it would raise, the error.

    Networks whose epoch is not compiled train one after another.
    """
    with torch.random.fork_rng(devices=[]):
        members = [_Member(model, data, training) for model, data in fits]
    together = [m for m in members if training.accelerator == "cpu" and m.module.is_compiled]
    if together:
        _train(together, training)
    made: list[Outcome | TrainingDiverged] = []
    for (model, data), member in zip(fits, members, strict=True):
        try:
            alone = member not in together
            made.append(
                model.fit(data, training) if alone else model.outcome(member.module, member.best, data, training)
            )
        except TrainingDiverged as e:
            made.append(e)
    return made


def most_together(model: NetworkModel, training: Training, n_genes: int, n_classes: int) -> int:
    """How many fits of this model on data of these sizes may train together; 1 where an epoch is not a compiled one."""
    if training.accelerator != "cpu":
        return 1
    with torch.random.fork_rng(devices=[]):
        small = model.network(2, n_classes)
    if not is_compiled(small, model.optimizer(small.parameters()), LOSSES[model.loss]):
        return 1
    with torch.device("meta"):  # sizes without weights
        network = model.network(n_genes, n_classes)
    if not isinstance(network, Linear) and layout(network) is None:
        return 1
    state = 5 * sum(p.nbytes for p in network.parameters())
    return min(AT_ONCE, max(1, STATE // state))


def _train(members: list["_Member"], training: Training) -> None:
    # long ones first: no thread waits for one begun last; those on the same data one after another: it is in the cache then
    first = {m.data: i for i, m in reversed(list(enumerate(members)))}
    members = sorted(members, key=lambda m: (-len(m.passes.fit.codes), first[m.data]))
    with ThreadPoolExecutor(training.threads) as threads:
        most = max(m.max_epochs for m in members)
        trainer = plain_trainer(training, -(-most // IN_A_ROW), logger=False, enable_checkpointing=False)
        train(trainer, _Together(members, threads), Whole(0))
    for m in members:
        m.best.put_back(m.module)


class _Member:
    """One fit among several, and where it stands."""

    def __init__(self, model: NetworkModel, data: FitData, training: Training) -> None:
        self.module, self.best, self.training = model.module(data, training), BestWeights(), training
        self.module.configure_optimizers()
        parts = PartsDataModule(data.fit, data.tune, training.batch_size, data.seed("batch order"))
        self.passes, self.data = parts.passes(), id(data.fit.x)
        self.max_epochs = training.max_epochs if data.tune is not None else training.epochs_without_tune

    @property
    def trains(self) -> bool:
        n = len(self.module.history)
        if self.passes.tune is None or n == 0:
            return n < self.max_epochs
        return n < self.max_epochs and why_stopped(self.module.history, self.best, self.training) == "max_epochs"

    def run_epochs(self) -> None:
        for _ in range(IN_A_ROW):
            if self.trains:
                self.module.run_epoch(self.passes, len(self.module.history))
                if self.passes.tune is not None:
                    self.best.note(self.module)


class _Together(pl.LightningModule):
    """Every step is some epochs of each member that still trains."""

    def __init__(self, members: list[_Member], threads: ThreadPoolExecutor) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.members, self.threads = members, threads

    def training_step(self, batch: Any, step: int) -> None:
        # whatever a member raises ends the loop: nothing of the data should, and memory concerns all
        list(self.threads.map(_Member.run_epochs, [m for m in self.members if m.trains]))

    def on_train_epoch_end(self) -> None:
        self.trainer.should_stop = not any(m.trains for m in self.members)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [m.module.made_optimizer for m in self.members if m.module.made_optimizer is not None]
