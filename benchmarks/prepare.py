"""Preparing recount3 against the peers that read the same files, with the limits beside it.

    python benchmarks/prepare.py tree DIR --samples 2000
    python benchmarks/prepare.py speed DIR
    python benchmarks/prepare.py memory --samples 500 1000 2000 4000
    python benchmarks/prepare.py gtex --genes 56200 --samples 17382

tree: writes a recount3 mirror in the true format: 63,856 genes, sizes of studies as in recount2 (or
--sizes, a table with the columns project and run), zeros, sums above 2^31, runs in two studies,
predictions without rows, single cells, samples that are nearly all zero. speed: samples a second of
our preparation, of the client recount3 with pandas, of pandas alone, and of gzip alone (what any
reader must at least do), on one core and on two. memory: peak of a preparation in a process of its
own, at growing numbers of samples. gtex: time and peak memory of a preparation of a GCT of so many
genes and samples (60 rows, repeated).
"""

import argparse
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
from recount3_tree import N_GENES, write_tree
from rich.console import Console
from rich.table import Table


def matrices(folder: Path) -> list[Path]:
    return sorted((folder / "human/data_sources/sra/gene_sums").glob("*/*/*.gz"))


def timed(what, repeats: int = 1) -> float:  # type: ignore[no-untyped-def]
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        what()
        found.append(time.perf_counter() - started)
    return float(np.median(found))


def ours(folder: Path, cores: int) -> float:
    """Seconds of a preparation, store and all, in a process of its own that is bound to so many
    cores."""
    with tempfile.TemporaryDirectory() as cache:
        code = f"""
import os, time
os.sched_setaffinity(0, {set(range(cores))})
os.cpu_count = lambda: {cores}
from beyondlinear.data.recount3.source import Recount3
started = time.perf_counter()
Recount3(scope="all", mirror={str(folder)!r}, cache={cache!r}).prepare()
print(time.perf_counter() - started)
"""
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
    return float(done.stdout.split()[-1])


def tpm(frame: pd.DataFrame, lengths: pd.Series) -> np.ndarray:
    rate = frame.to_numpy(np.float64) / lengths.loc[frame.index].to_numpy()[:, None]
    return (rate / rate.sum(0) * 1e6).astype(np.float32).T.copy()


def annotation_lengths(folder: Path) -> pd.Series:
    path = folder / "human/annotations/gene_sums/human.gene_sums.G026.gtf.gz"
    table = pd.read_csv(path, sep="\t", comment="#", header=None)
    return pd.Series(
        table[5].to_numpy(np.float64), table[8].str.extract('gene_id "([^"]+)"')[0].to_numpy()
    )


def with_pandas(folder: Path) -> None:
    lengths = annotation_lengths(folder)
    for path in matrices(folder):
        tpm(pd.read_csv(path, sep="\t", comment="#", index_col=0), lengths)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder over HTTP on the loopback."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.func.log_message = lambda *_: None  # type: ignore[assignment]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()


def with_client(folder: Path) -> float:
    """Seconds of the client's own way from a cached file to a table of counts, then the same
    TPM."""
    from recount3 import R3GeneOrExonCounts, R3Resource
    from recount3.config import Config

    lengths = annotation_lengths(folder)
    with tempfile.TemporaryDirectory() as cache, served(folder) as url:
        config = Config(url, 60, False, 3, "beyondlinear's benchmark", Path(cache), False)

        def all_studies() -> None:
            for path in matrices(folder):
                about = R3GeneOrExonCounts(
                    "count_files_gene_or_exon",
                    organism="human",
                    data_source="sra",
                    genomic_unit="gene",
                    project=path.name.split(".")[2],
                    annotation_extension="G026",
                )
                tpm(R3Resource(description=about, config=config).load(), lengths)

        all_studies()  # downloads
        return timed(all_studies)


def decompress(folder: Path, threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda path: len(gzip.decompress(path.read_bytes())), matrices(folder)))


def speed(folder: Path, repeats: int) -> None:
    n = sum(map(_n_runs, matrices(folder)))
    ours(folder, 1)  # compiles what is compiled once
    rows = [
        (
            f"beyondlinear prepare, {c} core{'s' * (c > 1)}",
            float(np.median([ours(folder, c) for _ in range(repeats)])),
        )
        for c in (1, 2)
    ]
    rows.append(("pandas + numpy, 1 core", timed(lambda: with_pandas(folder))))
    try:
        import recount3  # noqa: F401

        rows.append(("client recount3 + numpy, 1 core", with_client(folder)))
    except ImportError:
        print("the client recount3 is not installed (pip install recount3)", file=sys.stderr)
    rows += [
        (
            f"limit: gzip alone (zlib), {c} core{'s' * (c > 1)}",
            timed(lambda c=c: decompress(folder, c), repeats),
        )
        for c in (1, 2)
    ]
    table = Table(
        title=f"{n:,} samples × {N_GENES:,} genes in {len(matrices(folder))} studies",
        title_justify="left",
    )
    for column in ("", "s", "samples/s", "of the 2-core limit"):
        table.add_column(column, justify="left" if not column else "right")
    limit = rows[-1][1]
    for name, seconds in rows:
        table.add_row(name, f"{seconds:.1f}", f"{n / seconds:.0f}", f"{limit / seconds:.0%}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _n_runs(path: Path) -> int:
    with gzip.open(path, "rt") as file:
        return next(line for line in file if line.startswith("gene_id")).count("\t")


def memory(samples: list[int], sizes: Path | None, n_genes: int) -> None:
    table = Table(title="peak memory of a preparation", title_justify="left")
    for column in ("samples", "MB", "s"):
        table.add_column(column, justify="right")
    for n in samples:
        with tempfile.TemporaryDirectory() as place:
            write_tree(Path(place), n, n_genes, sizes=sizes)
            code = (
                "from beyondlinear.data.recount3.source import Recount3; import resource,"
                f" time\nstarted = time.time()\nRecount3(scope='all', mirror={place!r},"
                f" cache={place + '/cache'!r}).prepare()\nprint("
                "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss"
                " / 1e3, time.time() - started)"
            )
            out = subprocess.run(
                [sys.executable, "-c", code], check=True, capture_output=True, text=True
            ).stdout
        peak, seconds = out.split()[-2:]
        table.add_row(f"{n:,}", f"{float(peak):.0f}", f"{float(seconds):.1f}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def gtex(n_samples: int, n_genes: int) -> None:
    from isal import igzip

    from beyondlinear.data.gtex import RELEASES

    files, random = RELEASES["v8"], np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        ids = [f"GTEX-{10000 + i // 18}-{i:05d}-SM-MADE" for i in range(n_samples)]
        rows = random.gamma(0.4, 20, (60, n_samples)).round(random.integers(0, 4)) * (
            random.random((60, n_samples)) > 0.4
        )
        lines = ["\t".join(f"{v:.4g}" for v in row).encode() for row in rows]
        with igzip.open(folder / files.matrix, "wb", compresslevel=1) as file:
            file.write(f"#1.2\n{n_genes}\t{n_samples}\n".encode())
            file.write("\t".join(["Name", "Description", *ids]).encode() + b"\n")
            for i in range(n_genes):
                file.write(b"ENSG%011d.1\tx\t%s\n" % (i, lines[i % 60]))
        told = pd.DataFrame(
            {
                "SAMPID": ids,
                "SMTS": ["Blood", "Skin"] * (n_samples // 2) + ["Skin"] * (n_samples % 2),
            }
        )
        told.assign(SMTSD="x").to_csv(folder / files.samples, sep="\t", index=False)
        donors = sorted({"-".join(i.split("-")[:2]) for i in ids})
        pd.DataFrame({"SUBJID": donors, "SEX": 1, "AGE": "x"}).to_csv(
            folder / files.subjects, sep="\t", index=False
        )
        code = (
            "from beyondlinear.data.gtex import Gtex; import resource, time\n"
            f"started = time.time()\nGtex(mirror={place!r}, cache={place + '/cache'!r}).prepare()\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, time.time() - started)"
        )
        out = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout
        size = (folder / files.matrix).stat().st_size
    peak, seconds = map(float, out.split()[-2:])
    table = Table(
        title=f"GTEx, {n_genes:,} genes × {n_samples:,} samples, {size / 1e9:.2f} GB gzipped",
        title_justify="left",
    )
    table.add_column("s", justify="right")
    table.add_column("peak memory, GB", justify="right")
    table.add_row(f"{seconds:.0f}", f"{peak:.2f}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["tree", "speed", "memory", "gtex"])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("recount3_tree"))
    parser.add_argument("--samples", type=int, nargs="+", default=[2000])
    parser.add_argument("--genes", type=int, default=N_GENES)
    parser.add_argument("--sizes", type=Path, help="table with the columns project and run")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.what == "memory":
        memory(arguments.samples, arguments.sizes, arguments.genes)
        return
    if arguments.what == "gtex":
        gtex(arguments.samples[0], arguments.genes)
        return
    if arguments.what == "tree" or not arguments.folder.exists():
        shutil.rmtree(arguments.folder, ignore_errors=True)
        write_tree(arguments.folder, arguments.samples[0], arguments.genes, sizes=arguments.sizes)
    if arguments.what == "speed":
        speed(arguments.folder, arguments.repeats)
    else:
        size = sum(p.stat().st_size for p in matrices(arguments.folder))
        print(
            json.dumps(
                {"studies": len(matrices(arguments.folder)), "matrices_MB": round(size / 1e6, 1)}
            )
        )


if __name__ == "__main__":
    main()
