"""Miniature sources in the true formats: a recount3 mirror (that of the benchmark), and the three
files of GTEx."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from made_up import ROOT

from beyondlinear.data.gtex import RELEASES

sys.path.insert(0, str(ROOT / "benchmarks"))
from recount3_tree import write_tree

__all__ = ["FILES", "N", "P", "values", "write_gtex", "write_tree"]

FILES = RELEASES["v8"]
N, P = 40, 30


def values() -> np.ndarray:
    return np.random.default_rng(0).gamma(0.4, 20, (P, N)).round(4)


def write_gtex(folder: Path, stated: tuple[int, int] = (P, N), x: np.ndarray | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    ids = [f"GTEX-{1000 + i // 4}-{i:04d}-SM-{i}" for i in range(N)]
    lines = ["#1.2", f"{stated[0]}\t{stated[1]}", "\t".join(["Name", "Description", *ids])]
    for g, row in enumerate(values() if x is None else x):
        lines.append(
            "\t".join([f"ENSG{g:011d}.1{'_PAR_Y' if g == 3 else ''}", "A symbol", *map(str, row)])
        )
    (folder / FILES.matrix).write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    attributes = pd.DataFrame(
        {"SAMPID": [*ids[1:], "GTEX-9999-0001-SM-9"], "SMTS": "Skin", "SMTSD": "Skin - Sun"}
    )
    attributes.loc[: N // 2, "SMTS"] = "Blood"
    attributes["SMAFRZE"] = ["RNASEQ"] * (N - 1) + ["WES"]
    attributes.to_csv(folder / FILES.samples, sep="\t", index=False)
    donors = sorted({"-".join(i.split("-")[:2]) for i in ids})
    subjects = pd.DataFrame(
        {
            "SUBJID": donors,
            "SEX": [1 + i % 2 for i in range(len(donors))],
            "AGE": "60-69",
            "DTHHRDY": 2,
        }
    )
    subjects.to_csv(folder / FILES.subjects, sep="\t", index=False)
    return folder
