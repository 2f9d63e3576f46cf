"""A mirror of recount3 in the true format: paths, tables of metadata, matrices with the sizes of
real studies."""

import gzip
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

TISSUES = ["Blood", "Brain", "Breast", "Liver", "Lung", "Skin"]
N_GENES = 63_856
KEYS = ["rail_id", "external_id", "study"]
PRED = [
    "sample_acc",
    "curated.type",
    "curated.tissue",
    "pattern.predict.type",
    "pred.type",
    "curated.cell_type",
]


def study_sizes(n_samples: int, random: np.random.Generator, sizes: Path | None) -> list[int]:
    """Numbers of runs of studies, drawn from those of a table, else log-normal with the quantiles
    of recount2's 2,039 studies (median 9, 90 % 46, largest 2,000)."""
    if sizes is not None:
        known = pd.read_csv(sizes, usecols=["project", "run"])["project"].value_counts().to_numpy()
        draw = lambda: int(random.choice(known))  # noqa: E731
    else:
        draw = lambda: int(np.clip(np.exp(random.normal(np.log(9), 1.3)), 1, 2000))  # noqa: E731
    found: list[int] = []
    while sum(found) < n_samples:
        found.append(min(draw(), n_samples - sum(found)))
    return found


def write_gz(path: Path, text: bytes, level: int = 6) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text, level, mtime=0))


def write_tree(
    folder: Path,
    n_samples: int,
    n_genes: int = N_GENES,
    seed: int = 0,
    sizes: Path | None = None,
    odd: bool = True,
) -> None:
    """A mirror of one organism below `folder`; `odd`: with all that real trees hold and no reader
    expects.

    The tissue shows in the expression of the first tenth of the genes, so that models have
    something to learn.
    """
    random = np.random.default_rng(seed)
    home = folder / "human/data_sources/sra"
    ids = [f"ENSG{i:011d}.{1 + i % 17}" for i in range(n_genes)]
    lengths = np.exp(random.normal(7, 1, n_genes)).astype(int) + 8
    gtf = ["##description: made by benchmarks/recount3_tree.py"]
    gtf += [
        f'chr1\tMADE\tgene\t{1 + i}\t{9 + i}\t{length}\t+\t.\tgene_id "{gene}"; gene_type "x";'
        for i, (gene, length) in enumerate(zip(ids, lengths, strict=True))
    ]
    write_gz(
        folder / "human/annotations/gene_sums/human.gene_sums.G026.gtf.gz",
        ("\n".join(gtf) + "\n").encode(),
    )
    (folder / "human/homes_index").write_text("data_sources/sra\n")
    level = np.exp(random.normal(5, 3.5, n_genes))
    marks = np.exp(
        random.normal(0, 1.5, (len(TISSUES), n_genes)) * (np.arange(n_genes) < n_genes // 10)
    )
    index, previous = [], None
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        writing = []
        for s, n in enumerate(study_sizes(n_samples, random, sizes)):
            project = f"SRP{100000 + 7 * s}"
            runs = [f"SRR{10_000_000 + 1000 * s + j}" for j in range(n)]
            tissue = random.integers(0, len(TISSUES), n) if s % 3 else np.full(n, s % len(TISSUES))
            rate = (
                level[:, None]
                * marks[tissue].T
                * np.exp(random.normal(0, 0.7, (n_genes, n)).astype(np.float32))
            )
            reads = random.poisson(
                np.minimum(rate * lengths[:, None] / 1e5, 1e8) * np.exp(random.normal(0, 0.7, n))
            )
            sums = np.maximum(reads * 75 - random.integers(0, 30, reads.shape), 0)
            pred = {"tissue": [TISSUES[t] for t in tissue], "type": ["rna-seq"] * n}
            if odd:
                sums[n_genes // 2, 0] = 3_000_000_000
                if s % 5 == 1:
                    sums[random.random(n_genes) < 0.9, -1] = 0  # too many zeros
                    pred["tissue"][0] = "NA"
                if s % 7 == 2:
                    pred["type"][-1] = "scrna-seq"
                if s % 4 == 3 and previous is not None:  # a run of the study before, once more
                    runs[0], sums[:, 0], pred["tissue"][0] = previous
            previous = runs[-1], sums[:, -1].copy(), pred["tissue"][-1]
            table = pa.table(
                {"gene_id": ids}
                | {r: pa.array(sums[:, j].astype(np.int64)) for j, r in enumerate(runs)}
            )
            tail = f"{project[-2:]}/{project}"
            at = home / f"gene_sums/{tail}/sra.gene_sums.{project}.G026.gz"
            writing.append(pool.submit(_write_matrix, at, table))
            rail = [str(20_000_000 + 1000 * s + j) for j in range(n)]
            keys = pd.DataFrame({"rail_id": rail, "external_id": runs, "study": project})
            index.append(
                keys.assign(
                    project=project, organism="Homo sapiens", file_source="data_sources/sra"
                )
            )
            samples = [f"SRS{r[3:]}" for r in runs]
            columns = [samples, ["NA"] * n, pred["tissue"], pred["type"], pred["type"], ["NA"] * n]
            told = keys.assign(**dict(zip(PRED, columns, strict=True)))
            qc = keys.assign(
                **{
                    "aligned_reads%.chrx": "4.8",
                    "aligned_reads%.chry": "0.3",
                    "star.average_mapped_length": "74.5",
                }
            )
            sra = keys.assign(
                sample_acc=samples,
                experiment_acc=[f"SRX{r[3:]}" for r in runs],
                platform_model="made",
            )
            sra["study_title"] = "a \"title' with one quote"
            for name, frame in (
                ("recount_pred", told.iloc[:0] if odd and s % 6 == 5 else told),
                ("sra", sra),
                ("recount_qc", qc),
                ("recount_project", index[-1]),
            ):
                write_gz(home / f"metadata/{tail}/sra.{name}.{project}.MD.gz", _tsv(frame))
            while len(writing) > 8:
                writing.pop(0).result()
        for job in writing:
            job.result()
    write_gz(home / "metadata/sra.recount_project.MD.gz", _tsv(pd.concat(index)))


def _tsv(frame: pd.DataFrame) -> bytes:
    lines = [
        "\t".join(frame.columns),
        *("\t".join(map(str, row)) for row in frame.itertuples(index=False)),
    ]
    return ("\n".join(lines) + "\n").encode()


def _write_matrix(path: Path, table: pa.Table) -> None:
    out = io.BytesIO()
    options = pa.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    pa.csv.write_csv(table, out, options)
    head = "##annotation=G026\n##date.generated=2020-05-12\n" + "\t".join(table.column_names) + "\n"
    write_gz(path, head.encode() + out.getvalue())
