"""How costs grow with samples, genes, classes and fits: one is varied, the others stay.

    python benchmarks/growth.py [--out benchmarks/figures/growth.png]

Each point is the median of --repeats; the exponent is the slope of the line through the points of a
log-log plot: 1 is linear growth, 2 quadratic, 0 none. Epochs are batches of 16 on the processor.
"""

import argparse
import functools
import logging
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from results import keep, wait_as_runs_do
from rich.console import Console
from rich.table import Table

from beyondlinear.data.scaling import fit_preparation
from beyondlinear.models.interface import FitData, FitResult, FitSeeds, Part, TrainerConfig
from beyondlinear.models.linear.reduction import reduce
from beyondlinear.models.network_model import NetworkModel
from beyondlinear.models.networks import Linear, ThreeLayer
from beyondlinear.removal.class_means import remove_class_means

BASE = {"samples": 800, "genes": 2000, "classes": 2, "fits": 1}
SERIES = {
    "samples": [400, 800, 1600, 3200, 6400],
    "genes": [500, 1000, 2000, 4000, 8000],
    "classes": [2, 4, 8, 16, 32],
    "fits": [1, 2, 4, 8, 16, 32],
}
SIDE_BY_SIDE = "5 epochs of all linear fits, side by side"


def data(samples: int, genes: int, classes: int) -> FitData:
    random = np.random.default_rng(0)
    x = random.standard_normal((samples, genes), dtype=np.float32)
    y, rows, n = random.permutation(samples) % classes, np.arange(samples), samples * 4 // 5
    train = Part(x[:n], y[:n], rows[:n])
    validation = Part(x[n:], y[n:], rows[n:])
    return FitData(train, validation, x[n:], classes, FitSeeds(0, 0, 0, 0))


def epoch(network: type[torch.nn.Module], given: FitData) -> float:
    """Seconds of the second of three epochs."""
    optimizer = functools.partial(torch.optim.Adam, lr=1e-5, weight_decay=0.0, fused=True)
    told: list[float] = []
    model = NetworkModel(network, "cross_entropy", optimizer)
    model.fit(given, training(3), on_epoch=lambda *_: told.append(time.perf_counter()))
    return told[1] - told[0]


def training(epochs: int) -> TrainerConfig:
    return TrainerConfig("cpu", torch.get_num_threads(), 16, 1.0, epochs, epochs, None, 1)


def side_by_side(given: FitData, fits: int) -> list[FitResult]:
    """So many fits of the compiled engine, as many at a time as a run has threads."""
    optimizer = functools.partial(torch.optim.Adam, lr=1e-5, weight_decay=0.0, fused=True)
    model = NetworkModel(Linear, "cross_entropy", optimizer)
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        return list(threads.map(lambda _: model.fit(given, training(5)), range(fits)))


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def costs(samples: int, genes: int, classes: int, fits: int) -> dict[str, Callable[[], float]]:
    given = data(samples, genes, classes)
    x, y = given.train.x, given.train.codes
    assert isinstance(x, np.ndarray)
    return {
        "learn the scaling": lambda: seconds(
            lambda: fit_preparation(x, np.arange(len(x)), top_variance=None, scale="standardise")
        ),
        "remove class means": lambda: seconds(lambda: remove_class_means(x, y, classes)),
        "epoch, logistic_regression": lambda: epoch(Linear, given),
        "epoch, three_layer": lambda: epoch(ThreeLayer, given),
        "reduce for the certified optimum": lambda: seconds(lambda: reduce(x)),
        SIDE_BY_SIDE: lambda: seconds(lambda: side_by_side(given, fits)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--shrink", type=int, default=1, help="divide samples and genes by this, to try it out"
    )
    parser.add_argument("--out")
    parser.add_argument("--json")
    given = parser.parse_args()
    wait_as_runs_do()
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    rows = []
    for factor, values in SERIES.items():
        measured: dict[str, list[float]] = {}
        shrink = given.shrink if factor in ("samples", "genes") else 1
        sizes = BASE | {k: BASE[k] // given.shrink for k in ("samples", "genes")}
        for value in values:
            for cost, once in costs(**(sizes | {factor: value // shrink})).items():
                if factor == "fits" and cost != SIDE_BY_SIDE:
                    continue
                once()
                measured.setdefault(cost, []).append(median(once() for _ in range(given.repeats)))
        for cost, s in measured.items():
            slope = float(np.polyfit(np.log([v // shrink for v in values]), np.log(s), 1)[0])
            rows.append(
                {
                    "grows with": factor,
                    "cost": cost,
                    "values": values,
                    "seconds": s,
                    "exponent": round(slope, 2),
                }
            )
    table = Table(header_style="bold", title=f"{BASE} where not varied")
    for column in ("grows with", "cost", "from", "to", "ms at first", "ms at last", "exponent"):
        table.add_column(column, justify="left" if column in ("grows with", "cost") else "right")
    for r in rows:
        first, last = (f"{1000 * r['seconds'][i]:.2f}" for i in (0, -1))
        table.add_row(
            r["grows with"],
            r["cost"],
            str(r["values"][0]),
            str(r["values"][-1]),
            first,
            last,
            str(r["exponent"]),
        )
    Console(width=130).print(table)
    keep(given.json, rows, torch=torch.__version__)
    if given.out:
        draw(rows, Path(given.out))


def draw(rows: list[dict[str, Any]], out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        1, len(SERIES), figsize=(15, 5.2), sharey=True, layout="constrained"
    )
    colours = {c: f"C{i}" for i, c in enumerate(dict.fromkeys(r["cost"] for r in rows))}
    for axis, factor in zip(axes, SERIES, strict=True):
        for r in (r for r in rows if r["grows with"] == factor):
            label = f"{r['cost']} ({r['exponent']})"
            axis.loglog(
                r["values"], r["seconds"], "o-", color=colours[r["cost"]], label=label, markersize=4
            )
        axis.set(xlabel=factor, title=f"by {factor} (exponent)")
        values = next(r["values"] for r in rows if r["grows with"] == factor)
        axis.set_xticks(values, list(map(str, values)))
        axis.set_xticks([], minor=True)
        axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.15), frameon=False)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("seconds")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=130)


if __name__ == "__main__":
    main()
