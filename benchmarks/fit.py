"""One fit, side by side: ours, a hand-written loop, stock Lightning, rows of a pandas frame,
scikit-learn, and the limit.

python benchmarks/fit.py [--models logistic_regression three_layer five_layer] [--batch 16 64] [--n
800] [--p 5000]

All ways train the same network on the same 80 % of the samples with the same loss, class weights,
Adam, gradient clipping and batch size, and read the loss of the other 20 % after each epoch. They
take turns; of each round a way's median second per epoch is compared with the hand loop's of the
same round, and the median of these ratios is shown. An epoch of ours is the time between two calls
of its progress, all that Lightning and its callbacks do included; set-up is the time of its first
epoch beyond that. Linear models get one thread, which is fastest for all ways. --clock cpu counts
the seconds of this process's threads, where others load the machine.

hand loop: fused Adam, batches by index of a tensor, nothing else. stock Lightning: Trainer,
DataLoader, TensorDataset, Adam. pandas rows: one sample at a time from a frame, evaluation in
batches of one. Limit: per step, the larger of the bytes that must move (11 × parameters × 4 B:
weights forward and backward, gradient written and read, Adam's two moments, weights and their
write-back) over the bandwidth of a copy, and 6 × parameters × batch operations over the rate of a
product.
"""

import argparse
import functools
import logging
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Literal, get_args

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from results import keep, wait_as_runs_do
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from beyondlinear.models.interface import FitData, FitSeeds, Part, TrainerConfig
from beyondlinear.models.network_model import NetworkModel
from beyondlinear.models.networks import FiveLayer, Linear, ThreeLayer

NETWORKS: dict[str, type[nn.Module]] = {
    "logistic_regression": Linear,
    "three_layer": ThreeLayer,
    "five_layer": FiveLayer,
}
HIDDEN = {"three_layer": (2, 4), "five_layer": (2, 2, 2, 4)}
CLIP, LR, CLASSES = 1.0, 1e-4, 2
HAND = "hand loop, fused Adam"
Engine = Literal["auto", "lightning", "compiled"]  # trainer.engine
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def now() -> float:
    return CLOCKS[CLOCK[0]]()


CLOCK = ["wall"]


class Data:
    """x: (n, p) float32 with a little linear signal; the first 80 % to learn from, the rest the
    validation part."""

    def __init__(self, n: int, p: int) -> None:
        random = np.random.default_rng(0)
        self.codes = random.permutation(n) % CLASSES
        self.x = random.standard_normal((n, p), dtype=np.float32) + 0.1 * self.codes[
            :, None
        ].astype(np.float32)
        self.n_train = n * 4 // 5
        counts = np.bincount(self.codes[: self.n_train])
        self.class_weights = torch.from_numpy(self.n_train / (CLASSES * counts)).float()

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, y = torch.from_numpy(self.x), torch.from_numpy(self.codes)
        return x[: self.n_train], y[: self.n_train], x[self.n_train :], y[self.n_train :]


def ours(
    data: Data, network: type[nn.Module], batch: int, epochs: int, threads: int, engine: Engine
) -> tuple[list[float], float]:
    """Seconds of each epoch after the first, and of the set-up."""
    optimizer = functools.partial(torch.optim.Adam, lr=LR, weight_decay=0.0, fused=True)
    trainer = TrainerConfig(
        "cpu", threads, batch, CLIP, epochs + 1, epochs + 1, None, 1, engine=engine
    )
    rows = np.arange(len(data.codes))
    train, validation = (
        Part(data.x[s], data.codes[s], rows[s])
        for s in (slice(data.n_train), slice(data.n_train, None))
    )
    told = [now()]
    NetworkModel(network, "cross_entropy", optimizer).fit(
        FitData(train, validation, validation.x[:1], CLASSES, FitSeeds(0, 0, 0, 0)),
        trainer,
        on_epoch=lambda *_: told.append(now()),
    )
    seconds = np.diff(told).tolist()
    return seconds[1:], seconds[0] - median(seconds[1:])


def hand(data: Data, network: type[nn.Module], batch: int, epochs: int) -> list[float]:
    x, y, validation_x, validation_y = data.tensors()
    net = network(x.shape[1], CLASSES)
    adam = torch.optim.Adam(net.parameters(), lr=LR, fused=True)
    loss_of = nn.CrossEntropyLoss(data.class_weights)
    seconds = []
    for _ in range(epochs + 1):
        start = now()
        net.train()
        for index in torch.randperm(len(x)).split(batch):
            adam.zero_grad()
            loss_of(net(x[index]), y[index]).backward()
            nn.utils.clip_grad_norm_(net.parameters(), CLIP)
            adam.step()
        net.eval()
        with torch.inference_mode():
            float(loss_of(net(validation_x), validation_y))
        seconds.append(now() - start)
    return seconds[1:]


class Stock(pl.LightningModule):
    def __init__(self, network: nn.Module, class_weights: Tensor) -> None:
        super().__init__()
        self.network, self.loss = network, nn.CrossEntropyLoss(class_weights)
        self.ended = [now()]

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        return self.loss(self.network(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        self.log("validation_loss", self.loss(self.network(batch[0]), batch[1]))

    def on_train_epoch_end(self) -> None:
        self.ended.append(now())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=LR)


def stock(data: Data, network: type[nn.Module], batch: int, epochs: int) -> list[float]:
    x, y, validation_x, validation_y = data.tensors()
    module = Stock(network(x.shape[1], CLASSES), data.class_weights)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs + 1,
        gradient_clip_val=CLIP,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(
        module,
        DataLoader(TensorDataset(x, y), batch, shuffle=True),
        DataLoader(TensorDataset(validation_x, validation_y), batch),
    )
    return np.diff(module.ended).tolist()[1:]


class Rows(Dataset):
    """One sample at a time, looked up in a frame by its id."""

    def __init__(self, frame: pd.DataFrame, labels: pd.Series) -> None:
        self.frame, self.labels = frame, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        sample = self.labels.index[i]
        return torch.tensor(self.frame.loc[sample].to_numpy(), dtype=torch.float32), int(
            self.labels.loc[sample]
        )


def pandas_rows(data: Data, network: type[nn.Module], batch: int, epochs: int) -> list[float]:
    frame = pd.DataFrame(data.x, index=[f"s{i}" for i in range(len(data.x))])
    labels = pd.Series(data.codes, index=frame.index)
    net = network(data.x.shape[1], CLASSES)
    adam = torch.optim.Adam(net.parameters(), lr=LR)
    loss_of = nn.CrossEntropyLoss(data.class_weights)
    learnt = DataLoader(Rows(frame, labels.iloc[: data.n_train]), batch, shuffle=True)
    judged = DataLoader(Rows(frame, labels.iloc[data.n_train :]), 1)
    seconds = []
    for _ in range(epochs):
        start, total = now(), 0.0
        net.train()
        for x, y in learnt:
            adam.zero_grad()
            loss = loss_of(net(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), CLIP)
            adam.step()
            total += loss.item()
        net.eval()
        for x, y in judged:
            with torch.no_grad():
                total += loss_of(net(x), y).item()
        seconds.append(now() - start)
    return seconds


def scikit_learn(data: Data, model: str, batch: int) -> tuple[str, float]:
    """A name and seconds: of a whole fit of a linear model, of one epoch of a net (no dropout, no
    batch normalisation)."""
    x, y = data.x[: data.n_train], data.codes[: data.n_train]
    hidden = tuple(x.shape[1] // d for d in HIDDEN.get(model, ()))
    net = MLPClassifier(
        hidden, alpha=0, batch_size=min(batch, len(x)), learning_rate_init=LR, max_iter=1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = now()
        (net if hidden else LogisticRegression(max_iter=1000)).fit(x, y)
        seconds = now() - start
        if hidden:
            return "scikit-learn MLPClassifier", seconds
        LinearSVC().fit(x, y)
    svm = now() - start - seconds
    return f"scikit-learn, a whole fit (LinearSVC {svm:.2f})", seconds


def best(call: Callable[[], object], repeats: int = 7) -> float:
    def once() -> float:
        start = now()
        call()
        return now() - start

    return min(once() for _ in range(repeats))


def rates() -> tuple[float, float]:
    """Bytes a second of a copy (read and written), operations a second of a matrix product,
    float32."""
    source, target = torch.ones(50_000_000), torch.ones(50_000_000)
    a = torch.ones(2048, 2048)
    return 2 * source.nbytes / best(lambda: target.copy_(source)), 2 * 2048**3 / best(lambda: a @ a)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batch", nargs="+", type=int, default=[16, 64])
    parser.add_argument("--n", type=int, default=800)
    parser.add_argument("--p", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu: seconds of this process, on a loaded machine",
    )
    parser.add_argument("--engine", choices=get_args(Engine), default="auto", help="of ours")
    parser.add_argument("--fast", action="store_true", help="ours and the hand loop only")
    parser.add_argument("--json")
    given = parser.parse_args()
    wait_as_runs_do()
    CLOCK[0] = given.clock
    torch.set_num_threads(given.threads)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings(
        "ignore", message=".*(num_workers|LeafSpec|log_every_n_steps|litlogger|srun).*"
    )
    data = Data(given.n, given.p)
    bandwidth, products = rates()
    rows = []
    for model in given.models:
        network = NETWORKS[model]
        # a linear model's operations are too small to share: a second thread only makes PyTorch
        # wait for it
        torch.set_num_threads(1 if network is Linear else given.threads)
        n_parameters = sum(p.numel() for p in network(given.p, CLASSES).parameters())
        epochs = 20 if model == "logistic_regression" else 1
        for batch in given.batch:
            set_ups: list[float] = []

            def our_epochs(network: type[nn.Module] = network, batch: int = batch) -> list[float]:
                seconds, set_up = ours(
                    data,
                    network,
                    batch,
                    epochs,  # noqa: B023
                    given.threads,
                    given.engine,
                )
                set_ups.append(set_up)  # noqa: B023
                return seconds

            ways: dict[str, Callable[[], list[float]]] = {
                HAND: functools.partial(hand, data, network, batch, epochs),
                "ours": our_epochs,
            }
            if not given.fast:
                ways |= {
                    "stock Lightning": functools.partial(stock, data, network, batch, epochs),
                    "pandas rows": functools.partial(pandas_rows, data, network, batch, 1),
                }
            taken: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(given.rounds):
                for way, run in ways.items():
                    taken[way].append(median(run()))
            moved = (11 * n_parameters + 2 * batch * given.p) * 4
            step = max(moved / bandwidth, 6 * n_parameters * batch / products)
            limit = step * -(-data.n_train // batch)
            seconds = {way: median(values) for way, values in taken.items()} | {"limit": limit}
            speed = {
                w: median(h / s for h, s in zip(taken[HAND], taken[w], strict=True)) for w in ways
            }
            if not given.fast:
                name, value = scikit_learn(data, model, batch)
                seconds[name] = value
            for way, value in seconds.items():
                print(f"{model}, batch {batch}, {way}: {value:.4f} s", file=sys.stderr)
                row = {"model": model, "batch": batch, "way": way, "s": round(value, 4)}
                row["samples/s"] = None if "whole" in way else round(data.n_train / value)
                row["hand loop = 1"] = round(speed[way], 2) if way in speed else None
                row["times the limit"] = None if "whole" in way else round(value / limit, 1)
                row["set-up s"] = round(median(set_ups), 3) if way == "ours" else None
                rows.append(row)
    table = Table(
        title=(
            f"{given.clock} seconds an epoch, {data.n_train} + {given.n - data.n_train} samples ×"
            f" {given.p:,} genes"
        ),
        header_style="bold",
    )
    for column in rows[0]:
        table.add_column(
            column, justify="left" if column in ("model", "way") else "right", no_wrap=True
        )
    for row in rows:
        table.add_row(
            *(
                "–" if v is None else f"{v:,}" if isinstance(v, int) else str(v)
                for v in row.values()
            )
        )
    table.caption = (
        f"copy {bandwidth / 1e9:.1f} GB/s, matrix product {products / 1e9:.0f} GFLOP/s,"
        f" {given.threads} threads"
    )
    Console(width=140).print(table)
    settings = {
        "n": given.n,
        "p": given.p,
        "threads": given.threads,
        "clock": given.clock,
        "torch": torch.__version__,
    }
    keep(
        given.json,
        rows,
        **settings,
        copy_gb_s=round(bandwidth / 1e9, 2),
        gflop_s=round(products / 1e9),
    )


if __name__ == "__main__":
    main()
