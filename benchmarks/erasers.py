"""Fitting a LEACE eraser, side by side: ours, the package concept-erasure, and the limit (one
covariance product X'X).

    python benchmarks/erasers.py [--n 16000] [--p 5000] [--classes 21] [--threads 2] [--small]

Each method fits the same float32 matrix in a process of its own, in float64 (concept-erasure is fed
in batches of rows, so that it makes no copy of the whole), and maps the same new rows; the maps are
compared. Both use the covariance as it is: concept-erasure with shrinkage=False and svd_tol=1e-9.
--small: 400 × 100, 4 classes, to try the command.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from beyondlinear.removal.erasers import fit_leace
from beyondlinear.runtime.seeds import stream

METHODS = {"ours": "fit_leace", "package": "concept-erasure", "limit": "X'X (the limit)"}
BATCH = 2048


def made(n: int, p: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of correlated genes with class means, their classes, and 100 new rows."""
    random = stream(0, "eraser benchmark")
    codes = random.permutation(n) % classes
    mixing = random.standard_normal((20, p), dtype=np.float32)
    means = random.standard_normal((classes, p), dtype=np.float32) / 4
    x = np.empty((n, p), dtype=np.float32)
    for row in range(0, n, BATCH):  # so that making x takes no more memory than x
        rows = slice(row, min(row + BATCH, n))
        length = rows.stop - row
        x[rows] = random.standard_normal((length, p), dtype=np.float32)
        x[rows] += (
            means[codes[rows]] + random.standard_normal((length, 20), dtype=np.float32) @ mixing
        )
    return (
        x,
        codes,
        random.standard_normal((100, p), dtype=np.float32)
        * (1 + np.arange(p, dtype=np.float32) % 3),
    )


def of_package(
    x: np.ndarray, codes: np.ndarray, classes: int, new: np.ndarray
) -> tuple[float, np.ndarray]:
    from concept_erasure import LeaceFitter

    start = time.perf_counter()
    fitter = LeaceFitter(x.shape[1], classes, dtype=torch.float64, svd_tol=1e-9, shrinkage=False)
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(codes), classes)
    for row in range(0, len(x), BATCH):
        fitter.update(torch.from_numpy(x[row : row + BATCH]), one_hot[row : row + BATCH])
    eraser = fitter.eraser
    return time.perf_counter() - start, eraser(torch.from_numpy(new)).numpy()


def of_ours(
    x: np.ndarray, codes: np.ndarray, classes: int, new: np.ndarray
) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    eraser = fit_leace(x, codes, classes)
    return time.perf_counter() - start, eraser.apply(new)


def of_limit(
    x: np.ndarray, codes: np.ndarray, classes: int, new: np.ndarray
) -> tuple[float, np.ndarray]:
    wide = x.astype(np.float64)
    start = time.perf_counter()
    np.dot(wide.T, wide)
    return time.perf_counter() - start, new


def measure(method: str, n: int, p: int, classes: int, threads: int, path: Path) -> None:
    """Print seconds and extra bytes of one method as JSON; leave the mapped new rows in a file."""
    x, codes, new = made(n, p, classes)
    torch.set_num_threads(threads)
    run = {"ours": of_ours, "package": of_package, "limit": of_limit}[method]
    tiny = slice(0, 8 * classes)  # starts libraries and threads, which are not the method's
    run(x[tiny, :4].copy(), np.arange(8 * classes) % classes, classes, new[:, :4].copy())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with threadpool_limits(threads):
        seconds, mapped = run(x, codes, classes, new)
    extra = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    np.save(path, mapped)
    sys.stdout.write(json.dumps({"seconds": seconds, "megabytes": extra * 1024 / 1e6}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in {"n": 16_000, "p": 5_000, "classes": 21, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--method", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    n, p, classes = (400, 100, 4) if given.small else (given.n, given.p, given.classes)
    if given.method:
        measure(given.method, n, p, classes, given.threads, given.path)
        return
    results, mapped = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for method in METHODS:
            path = Path(folder) / f"{method}.npy"
            sizes = [
                f"--{k}={v}"
                for k, v in (("n", n), ("p", p), ("classes", classes), ("threads", given.threads))
            ]
            command = [sys.executable, __file__, *sizes, "--method", method, "--path", str(path)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{METHODS[method]} failed; concept-erasure is in the `dev` extra")
            results[method], mapped[method] = json.loads(done.stdout), np.load(path)

    table = Table(title=f"{n:,} samples × {p:,} genes, float32, {classes} classes")
    for heading in ("method", "s", "products", "extra MB"):
        table.add_column(heading, justify="left" if heading == "method" else "right", no_wrap=True)
    for method, name in METHODS.items():
        of = results[method]
        products = f"{of['seconds'] / results['limit']['seconds']:.1f}"
        table.add_row(name, f"{of['seconds']:.2f}", products, f"{of['megabytes']:.0f}")
    difference = float(
        np.abs(mapped["ours"] - mapped["package"]).max() / np.abs(mapped["package"]).max()
    )
    table.caption = (
        f"Largest difference of the two maps of new rows: {difference:.1e} of the largest value."
        " Products: seconds over those of X'X in float64, x ready in float64. Extra: peak of the"
        f" process above the one with x in it ({4 * n * p / 1e6:.0f} MB); of the limit, with its"
        f" float64 copy. Threads: {given.threads}."
    )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
