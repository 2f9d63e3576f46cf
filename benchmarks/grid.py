"""A grid of fits: ours, whole command and its records included, against a hand-written loop over
the same fits.

    python benchmarks/grid.py [--parts curve tuning small_nets] [--n 1000] [--p 5000] [--epochs 50]

curve: a learning curve, 5 folds × 10 fractions × 3 seeds, for each linear model; tuning: 25 trials
× 4 inner folds × 5 folds and the 5 fits that follow; small_nets: the curve of three_layer at 200
genes, one seed. Every fit trains for equally many epochs (no early stopping), reads its validation
loss after each and keeps the best weights. The hand loop is what a careful user writes for one fit
(fused Adam, batches by index, one thread, the faster choice), in a loop over the fits, and does
nothing else: no audit, no confounding, no records. It times --sample fits of each size and counts
them for the others of that size. Ours takes the whole command, imports and start-up of its
processes included; "in fits" is what its records say the fits took, divided by the processes.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fit import HAND, NETWORKS
from results import keep, wait_as_runs_do
from rich.console import Console
from rich.table import Table
from torch import nn

from beyondlinear.models.losses import LOSSES
from beyondlinear.models.networks import Linear

ROOT = Path(__file__).parent.parent
FRACTIONS = [round(0.1 * (i + 1), 1) for i in range(10)]
LOSS = {
    "logistic_regression": "cross_entropy",
    "linear_svm": "hinge",
    "three_layer": "cross_entropy",
}


def hand_fit(x: np.ndarray, y: np.ndarray, n_train: int, model: str, epochs: int) -> float:
    """Seconds of one fit on the first n_train rows, stopped by the rest of x."""
    started = time.perf_counter()
    mean, deviation = x[:n_train].mean(axis=0), x[:n_train].std(axis=0)
    ready = torch.from_numpy((x - mean) / deviation)
    codes = torch.from_numpy(y)
    net = NETWORKS.get(model, Linear)(x.shape[1], 2)
    adam = torch.optim.Adam(net.parameters(), lr=1e-4, fused=True)
    weights = torch.from_numpy(n_train / (2 * np.bincount(y[:n_train], minlength=2))).float()
    loss_of = LOSSES[LOSS[model]]
    best, kept = np.inf, {}
    for _ in range(epochs):
        net.train()
        for index in torch.randperm(n_train).split(16):
            adam.zero_grad()
            (weights[codes[index]] * loss_of(net(ready[index]), codes[index])).mean().backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            adam.step()
        net.eval()
        with torch.inference_mode():
            loss = float(
                (weights[codes[n_train:]] * loss_of(net(ready[n_train:]), codes[n_train:])).mean()
            )
        if loss < best:
            best, kept = loss, {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(kept)
    return time.perf_counter() - started


def hand(sizes: list[int], p: int, model: str, epochs: int, sample: int) -> float:
    """Seconds of fits with these numbers of training samples, of which 80 % are fitted to."""
    random = np.random.default_rng(0)
    total = 0.0
    for size, same in itertools.groupby(sorted(sizes)):
        n_same = len(list(same))
        x, y = random.standard_normal((size, p), dtype=np.float32), random.permutation(size) % 2
        seconds = [hand_fit(x, y, size * 4 // 5, model, epochs) for _ in range(min(sample, n_same))]
        total += float(np.median(seconds)) * n_same
    return total


def ours(*words: str) -> tuple[float, float]:
    """Seconds of the whole command, and of its fits by their records."""
    with tempfile.TemporaryDirectory() as directory:
        started = time.perf_counter()
        command = [sys.executable, str(ROOT / "train.py"), *words]
        subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        records = [json.loads(f.read_text()) for f in Path(directory).glob("records/*/*.json")]
    done = [r for r in records if r["status"] == "done"]
    if not done or len(done) < len(records):
        raise SystemExit(f"{len(records) - len(done)} of {len(records)} fits were not made")
    return seconds, sum(r["provenance"]["seconds"] for r in done)


def measure(given: argparse.Namespace, part: str, model: str) -> list[dict[str, Any]]:
    p, seeds = (given.small_p, [0]) if part == "small_nets" else (given.p, list(range(given.seeds)))
    common = [
        "dataset=simulated_noise",
        f"dataset.n_samples={given.n}",
        f"dataset.n_genes={p}",
        f"model={model}",
        "logger=none",
        "results.store=records",
        "trainer.stop_below=null",
        f"trainer.max_epochs={given.epochs}",
        f"trainer.patience={given.epochs}",
        "protocol.batch_size=16",
    ]
    train = given.n * 4 // 5
    if part == "tuning":
        search = ["tuning=random", f"tuning.trials={given.trials}", "tuning.prune=false"]
        grid = [*common, *search]
        sizes = [train * 3 // 4] * (5 * 4 * given.trials) + [train] * 5
    else:
        grid = [
            *common,
            f"seed={','.join(map(str, seeds))}",
            f"split.fractions={FRACTIONS}".replace(" ", ""),
        ]
        grid = ["-m", *grid]
        sizes = [int(train * f) for f in FRACTIONS for _ in range(5 * len(seeds))]
    torch.set_num_threads(1)  # a second thread slows small steps down
    peer = hand(sizes, p, model, given.epochs, given.sample)
    ways: list[tuple[str, float, float]] = [(HAND, peer, peer)]
    plain = [] if model == "three_layer" else ["model.report_optimum=null"]
    two = ["hydra/launcher=local", "hydra.launcher.processes=2", "trainer.threads=1"]
    variants = {"ours, one process": [*plain, "trainer.threads=2"]}
    if part == "curve":
        variants["ours, two processes × one thread"] = [*plain, *two]
        variants["ours, two processes, with each fit's certified optimum"] = two
    for way, more in variants.items():
        seconds, fits = ours(*grid, *more)
        ways.append((way, seconds, fits / (2 if "two processes" in way else 1)))
    return [
        {
            "part": part,
            "model": model,
            "fits": len(sizes),
            "way": way,
            "s": round(s, 1),
            "s in fits": round(inside, 1),
        }
        | {
            "ms a fit": round(1000 * s / len(sizes), 1),
            "hand / this": round(peer / s, 1),
            "hand / in fits": round(peer / inside, 1),
        }
        for way, s, inside in ways
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = ["curve", "tuning", "small_nets"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument(
        "--models", nargs="+", choices=list(LOSS), default=["logistic_regression", "linear_svm"]
    )
    for name, value in (
        ("n", 1000),
        ("p", 5000),
        ("small-p", 200),
        ("epochs", 50),
        ("seeds", 3),
        ("trials", 25),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument(
        "--sample", type=int, default=2, help="fits of one size that the hand loop times"
    )
    parser.add_argument("--json")
    given = parser.parse_args()
    wait_as_runs_do()
    rows = []
    for part in given.parts:
        for model in ["three_layer"] if part == "small_nets" else given.models:
            rows += measure(given, part, model)
    table = Table(
        header_style="bold",
        title=f"{given.n} samples × {given.p} genes, {given.epochs} epochs a fit, batch 16",
    )
    for column in rows[0]:
        table.add_column(column, justify="left" if column in ("part", "model", "way") else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=150).print(table)
    keep(given.json, rows, n=given.n, p=given.p, epochs=given.epochs, torch=torch.__version__)


if __name__ == "__main__":
    main()
