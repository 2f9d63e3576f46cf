"""Size and power of the residual-prediction test, on labels of which the truth is known.

    python benchmarks/residual_test.py size --sets 1000 --json size.json
python benchmarks/residual_test.py size --sets 200 --statistics forest net --worlds clusters --json
size_net.json
    python benchmarks/residual_test.py power --sets 100 --json power.json

size: labels drawn from one linear law of the expression, so that every rejection is false. Each
data set gets one bootstrap draw, and the draws of all sets together are the null distribution (the
warp-speed bootstrap of Giacomini, Politis & White 2013, 10.1017/S0266466612000655). Printed is the
share of sets above its 95 % quantile, with the 95 % Clopper–Pearson interval; the test keeps its
size where the lower limit is at most .05. power: signal planted on top of the linear law, logit =
linear + strength · g, both of standard deviation 1 before they are multiplied; g is a sum of
products of gene pairs, the sign of one product, one squared gene, or a gene whose slope has another
sign in each cluster.
"""

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import beta
from threadpoolctl import threadpool_limits

from beyondlinear.evaluation.residual_test.test import BootstrapNull, ResidualTest, strengthened
from beyondlinear.models.linear.null_model import fit_null_model, log_loss
from beyondlinear.models.probabilities import softmax
from beyondlinear.runtime.errors import OptimumError

LINEAR = 1.5  # standard deviation of the linear part of the logit
FOLDS = 5
FAST = ("pairs", "many_pairs", "components")

World = tuple[np.ndarray, np.ndarray]  # x (n, p) float32 standardised; cluster of each row


def gaussian(random: np.random.Generator, n: int, p: int) -> World:
    return random.standard_normal((n, p)), np.zeros(n, dtype=np.int64)


def clusters(random: np.random.Generator, n: int, p: int, k: int = 8) -> World:
    of = random.integers(0, k, n)
    return 3 * random.standard_normal((k, p))[of] + random.standard_normal((n, p)), of


def detected(random: np.random.Generator, n: int, p: int) -> World:
    return (random.random((n, p)) < random.uniform(0.2, 0.8, p)).astype(float), np.zeros(
        n, dtype=np.int64
    )


def zero_inflated(random: np.random.Generator, n: int, p: int) -> World:
    present = random.random((n, p)) > random.uniform(0.3, 0.8, p)
    return present * random.standard_gamma(2.0, (n, p)), np.zeros(n, dtype=np.int64)


WORLDS: dict[str, Callable[[np.random.Generator, int, int], World]] = {
    "gaussian": gaussian,
    "clusters": clusters,
    "detected": detected,
    "zero_inflated": zero_inflated,
}
# world, samples, genes, classes
SIZE = [
    ("gaussian", 200, 10, 2),
    ("gaussian", 200, 100, 2),
    ("gaussian", 200, 400, 2),
    ("clusters", 200, 20, 2),
    ("clusters", 200, 200, 2),
    ("detected", 200, 20, 2),
    ("zero_inflated", 200, 40, 2),
    ("gaussian", 200, 20, 3),
]
# planted, world, samples, genes, strengths
POWER = [
    ("1 pair", "gaussian", 500, 50, (0.5, 1.0)),
    ("1 pair", "gaussian", 500, 500, (0.5, 1.0)),
    ("4 pairs", "gaussian", 500, 50, (1.0, 2.0)),
    ("16 pairs", "gaussian", 500, 50, (1.0, 2.0)),
    ("XOR", "gaussian", 500, 50, (0.5, 1.0)),
    ("squared gene", "gaussian", 500, 50, (0.5, 1.0)),
    ("slope by cluster", "clusters", 500, 50, (1.0, 2.0)),
]


def planted(
    kind: str, x: np.ndarray, cluster: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """(n,) non-linear part of the logit, of standard deviation 1."""
    if kind == "nothing":
        return np.zeros(len(x))
    if kind.endswith(("pair", "pairs")):
        genes = random.choice(x.shape[1], 2 * int(kind.split()[0]), replace=False)
        g = (x[:, genes[::2]] * x[:, genes[1::2]]).sum(1)
    elif kind == "XOR":
        g = np.sign(x[:, 0] * x[:, 1])
    elif kind == "squared gene":
        g = x[:, 0] ** 2
    else:
        signs = random.choice([-1.0, 1.0], cluster.max() + 1)
        within = (
            x[:, 0]
            - np.array([x[cluster == c, 0].mean() for c in range(cluster.max() + 1)])[cluster]
        )
        g = signs[cluster] * within
    return (g - g.mean()) / g.std()


def one_set(
    number: int, test: ResidualTest, world: str, n: int, p: int, k: int, kind: str, strength: float
) -> tuple[dict[str, float], dict[str, float], float] | None:
    """Statistics of one data set and of one bootstrap draw from its linear law; the share of the
    log-loss that is left."""
    torch.set_num_threads(1)
    random = np.random.default_rng([number, n, p, k])
    with threadpool_limits(1):
        x, cluster = WORLDS[world](random, n, p)
        x = ((x - x.mean(0)) / np.maximum(x.std(0), 1e-9)).astype(np.float32)
        linear = x @ random.standard_normal((p, k))
        linear = LINEAR * (linear - linear.mean(0)) / linear.std()
        if k == 2:
            linear = linear * np.sqrt(2) / 2 * [1, 1]
        linear[:, -1] += strength * planted(kind, x, cluster, random)
        codes = (random.random(n)[:, None] > softmax(linear).cumsum(1)[:, :-1]).sum(1)
        null = BootstrapNull(test, x, k, random.permutation(n) % FOLDS, np.arange(n))
        try:
            law = fit_null_model(null.rows, codes, k)
            observed = null.look(codes, law, number)
            # other random numbers than those of the draw, as in the test itself
            multiple = null.restore(law, number + 2**32) if test.restore_strength else 1.0
            drawn = null.draw(strengthened(law, multiple), number)[1]
        except OptimumError:
            return None
    shares = np.bincount(codes) / n
    return (
        observed.statistics,
        drawn.statistics,
        log_loss(law.out_of_fold, codes) / -(shares * np.log(shares)).sum(),
    )


def rejections(sets: list[tuple[dict[str, float], dict[str, float], float]]) -> dict[str, int]:
    """How many sets lie above the 95 % quantile of the pooled draws, for each statistic and for the
    best of them."""
    names = list(sets[0][0])
    real, null = (np.array([[s[i][name] for name in names] for s in sets]) for i in (0, 1))
    judged = [i for i, name in enumerate(names) if not name.endswith("_gain")]
    mean, sd = null.mean(0), np.where(null.std(0) > 0, null.std(0), 1.0)
    if len(judged) > 1:
        names = [*names, "best"]
        real, null = (np.c_[a, ((a - mean) / sd)[:, judged].max(1)] for a in (real, null))
    above = real > np.quantile(null, 0.95, axis=0)
    return dict(zip(names, above.sum(0).tolist(), strict=True))


def interval(hits: int, n: int) -> tuple[float, float]:
    """95 % Clopper–Pearson."""
    low = beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["size", "power"])
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument(
        "--start",
        type=int,
        default=0,
        help="number of the first data set, from which its randomness comes",
    )
    parser.add_argument("--statistics", nargs="+", default=list(FAST))
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS))
    parser.add_argument("--n", type=int, help="samples, in place of the table's")
    parser.add_argument("--p", type=int, help="genes, in place of the table's")
    parser.add_argument("--first", type=int, help="only the first settings")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    test = ResidualTest(statistics=arguments.statistics)
    settings = (
        [("nothing", *setting, 0.0) for setting in SIZE]
        if arguments.what == "size"
        else [
            (kind, world, n, p, 2, s) for kind, world, n, p, strengths in POWER for s in strengths
        ]
    )
    rows = []
    for kind, world, n, p, k, strength in settings[: arguments.first]:
        if world not in arguments.worlds:
            continue
        n, p = arguments.n or n, arguments.p or p
        make = partial(one_set, test=test, world=world, n=n, p=p, k=k, kind=kind, strength=strength)
        with ProcessPoolExecutor(arguments.processes) as pool:
            sets = [
                s
                for s in pool.map(
                    make, range(arguments.start, arguments.start + arguments.sets), chunksize=4
                )
                if s is not None
            ]
        for name, hits in rejections(sets).items():
            low, high = interval(hits, len(sets))
            rows.append(
                {
                    "planted": kind,
                    "world": world,
                    "n": n,
                    "p": p,
                    "classes": k,
                    "strength": strength,
                    "statistic": name,
                }
                | {"sets": len(sets), "rate": hits / len(sets), "low": low, "high": high}
                | {"linear_share": float(np.mean([s[2] for s in sets]))}
            )
        print(
            f"{kind}, {world}, {n} × {p}, {k} classes, strength {strength}: done", file=sys.stderr
        )
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1))
    show(rows, arguments.what)


def show(rows: list[dict], what: str) -> None:
    names = list(dict.fromkeys(r["statistic"] for r in rows))
    table = Table(
        title=f"{what}: share of data sets rejected at .05 [95 % interval]", title_justify="left"
    )
    first = ("planted", "world", "n", "p", "classes", "strength", "sets")
    for column in (*first, *names):
        table.add_column(column, justify="left" if column in ("planted", "world") else "right")
    for key in dict.fromkeys(tuple(r[c] for c in first) for r in rows):
        here = {r["statistic"]: r for r in rows if tuple(r[c] for c in first) == key}
        cells = [
            (
                f"{here[n]['rate']:.3f} [{here[n]['low']:.3f}, {here[n]['high']:.3f}]"
                if n in here
                else "–"
            )
            for n in names
        ]
        table.add_row(*map(str, key), *cells)
    Console(width=None if sys.stdout.isatty() else 220).print(table)


if __name__ == "__main__":
    main()
