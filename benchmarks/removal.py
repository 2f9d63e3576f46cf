"""Removal of class means, side by side: ours, numpy, a mask per class, R's limma, and the limit
(one copy of x).

    python benchmarks/removal.py [--n 20000] [--p 5000] [--classes 21] [--repeats 5] [--threads 1]

All methods get the same float32 matrix and must agree, else the run stops. They take turns, so that
a busy machine slows all of them; a method that has used its time budget is repeated no more.
`--threads` is for the BLAS of the least squares rows; the others use one thread.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from beyondlinear.removal.class_means import remove_class_means
from beyondlinear.removal.limma import remove_batch_effect
from beyondlinear.runtime.seeds import stream

BUDGET = 4.0  # seconds; a method that has used it up is timed no more
COPY = "one copy (the limit)"
LIMMA = "limma in R"
# Row-major samples × genes is R's column-major genes × samples. Seconds of the call alone, without
# reading the file.
R_CODE = """
arguments <- commandArgs(TRUE); p <- as.integer(arguments[3]); n <- as.integer(arguments[4])
x <- matrix(readBin(arguments[1], "numeric", p * n, size = 4), nrow = p)
codes <- as.character(readBin(arguments[2], "integer", n, size = 8))
cat(system.time(limma::removeBatchEffect(x, batch = codes))[["elapsed"]])
"""


def copy(x: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    np.copyto(out, x)
    return out


def mask_per_class(x: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    masks = [codes == c for c in range(n_classes)]
    means = np.stack([x[mask].mean(axis=0) for mask in masks])
    out = x.copy()
    for mask, offset in zip(masks, means - means.mean(axis=0), strict=True):
        out[mask] -= offset
    return out


def numpy_least_squares(
    x: np.ndarray, codes: np.ndarray, n_classes: int, genes_at_once: int = 500
) -> np.ndarray:
    contrasts = np.vstack([np.eye(n_classes - 1), -np.ones(n_classes - 1)])[codes]
    model = np.column_stack([np.ones(len(x)), contrasts]).astype(x.dtype)
    out = np.empty_like(x)
    for start in range(0, x.shape[1], genes_at_once):
        genes = slice(start, start + genes_at_once)
        coefficients = np.linalg.lstsq(model, x[:, genes], rcond=None)[0]
        out[:, genes] = x[:, genes] - model[:, 1:] @ coefficients[1:]
    return out


def limma_seconds(x: np.ndarray, codes: np.ndarray) -> float | None:
    """One call of limma::removeBatchEffect; None where Rscript or limma is missing."""
    rscript = shutil.which("Rscript")
    probe = 'quit(status = !requireNamespace("limma", quietly = TRUE))'
    if rscript is None or subprocess.run([rscript, "-e", probe], capture_output=True).returncode:
        return None
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("run.R", "x.bin", "codes.bin")]
        paths[0].write_text(R_CODE)
        x.tofile(paths[1])
        codes.astype(np.int64).tofile(paths[2])
        command = [rscript, *map(str, paths), str(x.shape[1]), str(x.shape[0])]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def peak_and_result(method: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Most bytes that numpy held at once during a call, beyond what it held before, and what the
    call returned."""
    tracemalloc.start()
    try:
        result = method()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in {
        "n": 20_000,
        "p": 5_000,
        "classes": 21,
        "repeats": 5,
        "threads": 1,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    random = stream(0, "removal benchmark")
    x = random.standard_normal((given.n, given.p), dtype=np.float32)
    codes = random.permutation(given.n) % given.classes
    scratch = x.copy()
    methods: dict[str, Callable[[], np.ndarray]] = {
        COPY: lambda: copy(x),
        "remove_class_means, in place": lambda: remove_class_means(
            scratch, codes, given.classes, out=scratch
        ),
        "remove_class_means, new": lambda: remove_class_means(x, codes, given.classes),
        "one mask per class": lambda: mask_per_class(x, codes, given.classes),
        "remove_batch_effect": lambda: remove_batch_effect(x, codes),
        "numpy.linalg.lstsq": lambda: numpy_least_squares(x, codes, given.classes),
    }
    some_genes = slice(0, 20)
    expected = remove_batch_effect(x[:, some_genes].astype(np.float64), codes)
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    peaks: dict[str, float] = {}
    with threadpool_limits(given.threads):
        for name, method in methods.items():
            peaks[name], result = peak_and_result(method)
            if name != COPY and np.abs(result[:, some_genes] - expected).max() > 1e-4:
                raise SystemExit(
                    f"{name}: differs from remove_batch_effect in float64 by more than 1e-4"
                )
        del result
        for _ in range(given.repeats):
            for name, method in methods.items():
                if sum(seconds[name]) < BUDGET:
                    start = time.perf_counter()
                    method()
                    seconds[name].append(time.perf_counter() - start)
    of_limma = limma_seconds(x, codes)

    table = Table(
        title=f"{given.n:,} samples × {given.p:,} genes, float32, {given.classes} classes"
    )
    for heading in ("method", "median s", "min–max s", "runs", "copies", "extra MB"):
        table.add_column(heading, justify="left" if heading == "method" else "right", no_wrap=True)
    one_copy = median(seconds[COPY])
    for name, runs in seconds.items():
        span, copies = f"{min(runs):.3f}–{max(runs):.3f}", f"{median(runs) / one_copy:.1f}"
        table.add_row(
            name, f"{median(runs):.3f}", span, str(len(runs)), copies, f"{peaks[name] / 1e6:.0f}"
        )
    if of_limma is None:
        table.add_row(f"{LIMMA}: not installed")
    else:
        table.add_row(LIMMA, f"{of_limma:.3f}", "", "1", f"{of_limma / one_copy:.1f}", "")
    table.caption = (
        f"copies: median over that of one copy ({x.nbytes / 1e6:.0f} MB, into a new array)."
        " Extra: the peak of numpy's arrays, the result included, without the work space of LAPACK"
        f" or R. BLAS threads: {given.threads}."
    )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
