"""How `beyondlinear status` and `beyondlinear results` fare with the records of a large sweep.

    python benchmarks/records.py --fits 100000 --json records.json

Makes one small run, copies its fits' records under other keys into a store of so many fits, in runs
of 50, and times both commands as whole processes with their peak memory; then the same after
`beyondlinear pack`, which puts a finished run's records into one file. Limit: reading the same
bytes.
"""

import argparse
import copy
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from beyondlinear.records.store import RecordStore
from beyondlinear.runtime.files import write_json

ROOT = Path(__file__).parent.parent
TRAIN = [
    *(
        sys.executable,
        str(ROOT / "train.py"),
        "-m",
        "model=logistic_regression",
        "signal_removal=none,class_means",
        "logger=none",
    ),
    *(
        "dataset.n_samples=200",
        "dataset.n_genes=50",
        "trainer.max_epochs=5",
        "hydra.sweep.dir=small",
        "leak_probes.trees=4",
    ),
]


def synthesise(directory: Path, fits: int, fits_a_run: int = 50) -> None:
    """A sweep of fits/fits_a_run finished runs in directory/sweep, its records in
    directory/records."""
    subprocess.run(TRAIN, cwd=directory, check=True, stdout=subprocess.DEVNULL)
    listing = json.loads(next(directory.glob("small/*/fits_*.json")).read_text())
    state = json.loads(next(directory.glob("small/*/state.json")).read_text())
    store = RecordStore(directory / "records")
    small = RecordStore(listing["store"])
    record = small.get(listing["fits"][0]["key"])
    assert record is not None
    predictions = small.path(record["key"]).with_suffix(".npz").read_bytes()
    planned = []
    for run in range(-(-fits // fits_a_run)):
        config = copy.deepcopy(listing["config"]) | {"seed": run}
        folder = directory / "sweep" / f"run_{run:05d}"
        folder.mkdir(parents=True)
        entries = []
        for number in range(min(fits_a_run, fits - run * fits_a_run)):
            key = f"{(run * fits_a_run + number) * 2654435761 % 2**64:016x}{run:08x}{number:08x}"
            fold, fraction = number % 5, round(0.1 * (1 + number // 5), 1)
            entries.append({"key": key, "fold": fold, "fraction": fraction, "pretrained": None})
            path = store.path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            made = record | {
                "key": key,
                "fold": fold,
                "fraction": fraction,
                "seed": run,
                "config": config,
            }
            path.write_text(json.dumps(made, indent=1))
            path.with_suffix(".npz").write_bytes(predictions)
        write_json(
            folder / f"fits_{run:032x}.json",
            listing | {"store": str(store.root), "seed": run, "config": config, "fits": entries},
        )
        (folder / "state.json").write_text(json.dumps(state | {"id": f"{run:08x}"}))
        planned.append({"id": f"{run:08x}", "overrides": [f"seed={run}"]})
    write_json(
        directory / "sweep" / "sweep.json",
        {"command": ["train.py", "-m"], "planned": "", "runs": planned},
    )


def timed(*words: str, cwd: Path) -> tuple[float, float]:
    """Seconds and peak GB of a command as a whole process."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            [str(Path(sys.executable).parent / "beyondlinear"), *words],
            cwd=cwd,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, code, usage = os.wait4(child.pid, 0)
        if code:
            output.seek(0)
            raise RuntimeError(output.read().decode())
    assert isinstance(usage, resource.struct_rusage)
    return time.monotonic() - started, usage.ru_maxrss / 1e6


def size_of(directory: Path) -> tuple[int, float]:
    """Files in a store and their MB."""
    files = [p for p in directory.rglob("*") if p.is_file()]
    return len(files), sum(p.stat().st_size for p in files) / 1e6


def read_all(directory: Path) -> float:
    started = time.monotonic()
    for path in directory.rglob("*.json"):
        path.read_bytes()
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fits", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", help="where to make the records (a temporary folder)")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        directory = Path(name)
        synthesise(directory, arguments.fits)
        for layout in ("two files a fit", "packed, a file a run"):
            if layout.startswith("packed"):
                seconds, _ = timed("pack", "sweep", cwd=directory)
                print(f"beyondlinear pack: {seconds:.1f} s")
            files, megabytes = size_of(directory / "records")
            for verb, words in (
                ("status", ["status", "sweep"]),
                ("results", ["results", "sweep", "--means"]),
            ):
                runs = sorted(timed(*words, cwd=directory) for _ in range(arguments.repeats))
                seconds, memory = runs[len(runs) // 2]
                row = {
                    "layout": layout,
                    "command": verb,
                    "fits": arguments.fits,
                    "files": files,
                    "MB": round(megabytes),
                }
                rows.append(row | {"seconds": round(seconds, 2), "GB": round(memory, 2)})
            if not layout.startswith("packed"):
                limit = {
                    "command": "reading the bytes",
                    "seconds": round(read_all(directory / "records"), 2),
                    "GB": None,
                }
                rows.append(row | limit)
    table = Table(header_style="bold")
    for column in rows[0]:
        table.add_column(
            column,
            justify="right" if column in ("fits", "files", "MB", "seconds", "GB") else "left",
        )
    for row in rows:
        table.add_row(
            *(
                "–" if v is None else f"{v:,}" if isinstance(v, int) else str(v)
                for v in row.values()
            )
        )
    Console().print(table)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
