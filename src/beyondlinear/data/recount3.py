"""recount3 (Wilks et al. 2021, 10.1186/s13059-021-02533-6): from mirrors to a prepared store of TPM, and from it to a run.

Metadata first, then the matrices of the studies that are needed; each study becomes a part, and the parts become the store.
Whatever is finished is not repeated by the same command, but for up to 512 MB of parts in memory of a process that was killed.
"""

import hashlib
import json
import logging
import shutil
import time
from collections import Counter as Counts
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from pydantic import Field

from beyondlinear.data.download import Mirrors, MissingFileError
from beyondlinear.data.downloads import Counter, as_fetched, worked_on
from beyondlinear.data.gene_lines import DamagedFileError
from beyondlinear.data.recount3_parts import LASTING, GeneOrder, Memory, Part, make_part, read_part
from beyondlinear.data.recount3_runs import OnMissing, Runs, find_runs, read
from beyondlinear.data.recount3_tree import MIRRORS, Tree, exonic_lengths
from beyondlinear.data.sex_labels import read_sex_labels
from beyondlinear.data.statistics import RunningStatistics, most_variable
from beyondlinear.data.store import Store, StoreWriter, disk, one_writer
from beyondlinear.data.transforms import Transform
from beyondlinear.data.transforms import transform as apply_transform
from beyondlinear.data.whole_store import KEY, over_whole_store
from beyondlinear.errors import DataError, choices

log = logging.getLogger(__name__)

VERSION = 2  # raised when the same files give another store on purpose
_SAMPLE_BYTES, _FILE_BYTES = 130_000, 280_000  # of a gzipped matrix: each run, and the gene ids


@dataclass(frozen=True)
class Recount3:
    """conf/dataset/recount3.yaml explains the keys."""

    label: str = "tissue"
    scope: Literal["labelled", "all"] = "labelled"
    mirror: str | list[str] | None = None
    cache: str = "~/.cache/beyondlinear"
    organism: Literal["human", "mouse"] = "human"
    annotation: str = "G026"
    sex_labels: str | None = None
    sex_filter: Literal["paper", "flynn"] = "paper"
    transform: Transform | list[Transform] = "log2p1"
    n_genes: Annotated[int, Field(ge=1)] | None = 10000
    max_zeros: Annotated[float, Field(gt=0, le=1)] = 0.75
    on_missing: OnMissing = "error"
    downloads: Annotated[int, Field(ge=1, le=64)] = 8

    def load(self) -> AnnData:
        """The runs that carry the label, transformed; the store is prepared first where it is not.

        :returns: X (n_runs, n_genes) float32; obs: study, biosample, experiment, tissue, sex, …; var: statistics of each gene
            over the whole store, as TPM; uns: with scope=all the same on the scale of X, for protocol=paper
        :raises DataError: what the mirrors or files lack
        """
        store = self.prepare()
        labelled = store.obs()[self.label].notna().to_numpy()
        adata = store.read(samples=None if labelled.all() else np.flatnonzero(labelled))
        whole = over_whole_store(adata, self.transform, scaled=False) if self.scope == "all" else None
        log.info("recount3: %s runs × %s genes from %s", f"{adata.n_obs:,}", f"{adata.n_vars:,}", store.path)
        adata = apply_transform(adata, self.transform)
        adata.uns[KEY] = whole
        return adata

    def store(self) -> Store:
        """Where the prepared store is, or will be.

        :raises DataError: a label that recount3 has not, or a file of sex labels that does not fit
        """
        return self._store(self._sex())

    def prepare(self) -> Store:
        """The prepared store; made if it is not there.

        :raises DataError: what the mirrors or files lack; everything that is finished stays
        """
        sex = self._sex()
        store = self._store(sex)
        if not store.exists:
            root = Path(self.cache).expanduser()
            with disk(root), one_writer(store.path):
                if not store.exists:
                    self._make(store, root, sex)
        for relative in store.said()["missing"]:
            log.warning("warning: recount3: the store lacks %s, which no mirror had", relative)
        return store

    def _sex(self) -> pd.Series | None:
        if self.label not in ("tissue", "sex"):
            raise DataError(
                f"task.label: '{self.label}' is no label of recount3. {choices(self.label, ['tissue', 'sex'])}; for labels of "
                "your own prepare the store, and read it with dataset=file"
            )
        if self.label != "sex" and self.sex_labels is None:
            return None
        return read_sex_labels(self.sex_labels, self.sex_filter, self.organism)

    def _store(self, sex: pd.Series | None) -> Store:
        return Store(Path(self.cache).expanduser() / "stores" / f"recount3_{self._key(sex)}.zarr")

    def _key(self, sex: pd.Series | None) -> str:
        parts: dict[str, Any] = {
            "version": VERSION,
            "organism": self.organism,
            "annotation": self.annotation,
            "scope": self.label if self.scope == "labelled" else "all",
            "sex": None if sex is None else hashlib.blake2b(sex.to_csv().encode()).hexdigest(),
            "n_genes": self.n_genes,
            "max_zeros": self.max_zeros,
            "on_missing": self.on_missing,
        }
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=6).hexdigest()

    def _make(self, store: Store, root: Path, sex: pd.Series | None) -> None:
        started = time.monotonic()
        places = [self.mirror] if isinstance(self.mirror, str) else self.mirror or MIRRORS
        mirrors = Mirrors(tuple(places), root / "downloads" / "recount3")
        tree = Tree(self.organism, self.annotation)
        label = self.label if self.scope == "labelled" else None
        runs = find_runs(mirrors, tree, label, sex, self.on_missing, self.downloads, log.info)
        lengths = read(mirrors, tree.genes, exonic_lengths)
        folder = root / "parts" / store.path.stem
        folder.mkdir(parents=True, exist_ok=True)
        projects = {str(p): list(some.index) for p, some in runs.obs.groupby("project", sort=True)}
        self._announce(runs, projects, lengths, mirrors, tree, folder)
        parts, order = self._parts(mirrors, tree, projects, lengths, folder, runs)
        runs.dropped += sum((Counts(part.dropped) for part in parts), Counts())
        for why, n in runs.dropped.items():
            if n:
                log.info("recount3: %s runs %s are left out", f"{n:,}", why)
        ids = [run for part in parts for run in part.runs]
        if not ids:
            why = ", ".join(f"{n:,} {why}" for why, n in runs.dropped.items() if n)
            raise DataError(f"recount3: no run is left ({why})")
        self._assemble(store, parts, order, runs, ids)
        shutil.rmtree(folder, ignore_errors=True)
        log.info("recount3: prepared in %.0f s: %s", time.monotonic() - started, store.path)

    def _announce(
        self, runs: Runs, projects: dict[str, list[str]], lengths: pd.Series, mirrors: Mirrors, tree: Tree, folder: Path
    ) -> None:
        """How much will be downloaded and kept; refuses what the disk cannot hold."""
        new = [p for p in projects if read_part(folder, p) is None and not mirrors.has(tree.matrix(p))]
        size = sum(_SAMPLE_BYTES * len(projects[p]) + _FILE_BYTES for p in new)
        n, kept = len(runs.obs), len(lengths) if self.n_genes is None else min(len(lengths), self.n_genes)
        parts, whole = max(0, 4 * n * len(lengths) - LASTING), 4 * n * kept
        log.info(
            "recount3: %s runs in %s studies; at most %.2f GB (%s matrices) to download and to keep, %.2f GB "
            "for a store of about "
            "%s genes, and %.2f GB for parts while it is made; in %s",
            *(f"{n:,}", f"{len(projects):,}", size / 1e9, f"{len(new):,}", whole / 1e9, f"{kept:,}", parts / 1e9),
            mirrors.cache.parent.parent,
        )
        free = shutil.disk_usage(folder).free
        if size + whole + parts > free:
            raise DataError(
                f"dataset.cache: '{mirrors.cache.parent.parent}' has {free / 1e9:.1f} GB free, and up to "
                f"{(size + whole + parts) / 1e9:.1f} GB are needed; name a folder on a larger disk with dataset.cache=…"
            )

    def _parts(
        self,
        mirrors: Mirrors,
        tree: Tree,
        projects: dict[str, list[str]],
        lengths: pd.Series,
        folder: Path,
        runs: Runs,
    ) -> tuple[list[Part], GeneOrder]:
        """Every study's part, in the order of `projects`, and the genes that they share."""
        done = {p: part for p in projects if (part := read_part(folder, p)) is not None}
        relatives = {tree.matrix(p): p for p in projects}
        smallest = sorted(
            relatives, key=lambda relative: len(projects[relatives[relative]])
        )  # read for its genes alone
        order = self._gene_order(mirrors, smallest, lengths, folder)
        # the largest first, so that none is left when all others are done
        wanted = [relative for relative in reversed(smallest) if relatives[relative] not in done]
        memory = Memory()
        with Counter("recount3", len(projects), len(runs.obs)) as counter:
            for p in done:
                counter.file_done(len(projects[p]))

            def made(relative: str, path: Path) -> Part:
                p = relatives[relative]
                try:
                    return make_part(folder, p, path, projects[p], order, self.max_zeros, memory)
                except DamagedFileError as e:
                    if not mirrors.discard(path):
                        raise
                    log.info("%s; it is downloaded again", e)
                    return make_part(folder, p, mirrors.fetch(relative), projects[p], order, self.max_zeros, memory)

            for relative, got in worked_on(as_fetched(mirrors, wanted, self.downloads, counter), made):
                if isinstance(got, Part):
                    done[relatives[relative]] = got
                else:
                    runs.missing[relative] = str(got)
                counter.file_done(len(projects[relatives[relative]]))
        if runs.missing:
            few = "\n".join(list(runs.missing.values())[:5])
            text = f"recount3: {len(runs.missing):,} of {len(projects):,} files are missing or damaged:\n{few}"
            if self.on_missing == "error":
                for part in done.values():
                    part.save()
                raise MissingFileError(
                    f"{text}\n{len(done):,} studies are prepared and are kept: the same command tries the others again, and "
                    "dataset.on_missing=skip goes on without them"
                )
            log.warning("warning: %s", text)
            absent = [p for p in projects if p not in done]
            runs.dropped["of studies whose matrix is missing"] += sum(len(projects[p]) for p in absent)
        return [done[p] for p in projects if p in done], order

    def _gene_order(self, mirrors: Mirrors, relatives: list[str], lengths: pd.Series, folder: Path) -> GeneOrder:
        """Genes of the first matrix that can be had; later parts must have the same, also after an interruption."""
        for relative in relatives:
            try:
                order = read(mirrors, relative, lambda path: GeneOrder(lengths, path))
            except (MissingFileError, DamagedFileError):
                continue
            known, ids = folder / "genes.txt", "\n".join(order.gene_ids)
            if known.exists() and known.read_text() != ids:
                shutil.rmtree(folder)  # parts of an annotation that has changed since
                folder.mkdir()
            known.write_text(ids)
            if order.n_without_length or order.n_absent:
                log.info(
                    "recount3: TPM over the %s genes that have a length and expression (%s without length, %s "
                    "without expression)",
                    *(f"{len(order.gene_ids):,}", f"{order.n_without_length:,}", f"{order.n_absent:,}"),
                )
            return order
        raise MissingFileError(f"recount3: none of the {len(relatives):,} matrices could be had, e.g. {relatives[0]}")

    def _assemble(self, store: Store, parts: list[Part], order: GeneOrder, runs: Runs, ids: list[str]) -> None:
        statistics = RunningStatistics(len(order.gene_ids))
        for part in parts:
            for block in part.blocks():
                statistics.update(block)
        table = statistics.table()
        genes = most_variable(table, self.n_genes)
        writer = StoreWriter(store.path, len(ids), order.gene_ids[genes].tolist())
        writer.put_all(np.take(block, genes, axis=1) for part in parts for block in part.blocks())
        var = table.iloc[genes].assign(bp_length=order.lengths[genes])
        said = {
            "source": "recount3",
            "version": VERSION,
            "mirror": self.mirror or list(MIRRORS),
            "annotation": self.annotation,
            "scope": self.scope,
            "label": self.label,
            "units": "TPM",
            "genes_measured": len(order.gene_ids),
            "dropped": {why: n for why, n in runs.dropped.items() if n},
            "missing": runs.missing,
        }
        content = writer.finish(runs.obs.loc[ids].drop(columns="project"), var, said)
        log.info("recount3: %s runs × %s genes, content %s", f"{len(ids):,}", f"{len(genes):,}", content)
