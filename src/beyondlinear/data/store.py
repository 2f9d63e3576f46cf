"""The prepared store: one data set on disk as AnnData on zarr, written whole or not at all, checked
by its content hash."""

import errno
import hashlib
import logging
import os
import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anndata
import numpy as np
import pandas as pd
import zarr
from anndata import AnnData
from anndata.io import read_elem, write_elem
from filelock import FileLock, Timeout
from zarr.codecs import BloscCodec

from beyondlinear.data.download.mirrors import no_space
from beyondlinear.data.metadata import plain
from beyondlinear.runtime.errors import DataError

if TYPE_CHECKING:
    from zarr.core.common import JSON

log = logging.getLogger(__name__)

ROWS, COLUMNS = 256, 1000  # samples × genes of a chunk: 1 MB, read and written by itself


class StoreWriter:
    """Writes a store under a temporary name; `finish` gives it its own.

    Blocks may come in any order, each of whole chunks of the grid of ROWS × COLUMNS.
    """

    def __init__(self, path: Path, n_samples: int, gene_ids: Sequence[str]) -> None:
        self.path, self.temporary = path, path.with_name(path.name + ".tmp")
        self.shape, self.gene_ids = (n_samples, len(gene_ids)), list(gene_ids)
        self.digests: dict[tuple[int, int], str] = {}
        shutil.rmtree(self.temporary, ignore_errors=True)  # of a writer that was killed
        self.temporary.parent.mkdir(parents=True, exist_ok=True)
        self.root = zarr.open_group(self.temporary, mode="w", zarr_format=3)
        self.root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        self.x = self.root.create_array(
            "X",
            shape=self.shape,
            chunks=(ROWS, COLUMNS),
            dtype="float32",
            compressors=BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"),
        )
        self.x.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})

    def put(self, row: int, column: int, block: np.ndarray) -> None:
        """:param row, column: of the block's first value, multiples of ROWS and COLUMNS
        :param block: (n, m) float32, finite; ends at a chunk's end or the matrix's
        """
        self.x[row : row + len(block), column : column + block.shape[1]] = block
        for i in range(0, len(block), ROWS):
            for j in range(0, block.shape[1], COLUMNS):
                at = (row + i) // ROWS, (column + j) // COLUMNS
                self.digests[at] = _digest(block[i : i + ROWS, j : j + COLUMNS])

    def put_all(self, blocks: Iterator[np.ndarray]) -> None:
        """:param blocks: (any number, n_genes) float32, finite: all samples, one after another"""
        n = os.cpu_count() or 1
        with ThreadPoolExecutor(n) as pool:
            writing: deque[Future[None]] = deque()
            for i, rows in enumerate(even_blocks(blocks)):
                writing.append(pool.submit(self.put, i * ROWS, 0, rows))
                if len(writing) > n:
                    writing.popleft().result()
            for job in writing:
                job.result()

    def finish(self, obs: pd.DataFrame, var: pd.DataFrame, provenance: Mapping[str, object]) -> str:
        """Write the rest and give the store its name.

        :param var: statistics of each gene, in the order of `gene_ids`
        :param provenance: sources, versions, what was dropped
        :returns: the content hash
        """
        expected = -(-self.shape[0] // ROWS) * -(-self.shape[1] // COLUMNS)
        if len(self.digests) != expected:
            raise AssertionError(f"{len(self.digests)} of {expected} chunks were written")
        with anndata.settings.override(
            auto_shard_zarr_v3=False
        ):  # said, since anndata means to change its default
            # categories, since AnnData writes a missing word among words as the word "None"
            words = obs.select_dtypes("object")
            write_elem(self.root, "obs", obs.astype(dict.fromkeys(words, "category")))
            write_elem(
                self.root, "var", var.set_axis(pd.Index(self.gene_ids, dtype=object), axis=0)
            )
            for name in ("obsm", "varm", "obsp", "varp", "layers", "uns"):
                write_elem(self.root, name, {})
        content = _content_hash(self.digests, obs, var, self.gene_ids)
        digests = {f"{i},{j}": digest for (i, j), digest in sorted(self.digests.items())}
        attributes = dict(provenance) | {"content": content, "chunks": digests}
        self.root.attrs["prepared"] = cast("JSON", attributes)
        with ThreadPoolExecutor(8) as pool:  # a disk takes several at once in the time of one
            list(pool.map(_to_disk, [p for p in self.temporary.rglob("*") if p.is_file()]))
        self.temporary.replace(self.path)
        return content


@dataclass(frozen=True)
class ExpressionStore:
    """A whole store on disk."""

    path: Path

    @property
    def exists(self) -> bool:
        return self.path.is_dir()  # it got its name when it was whole

    def provenance(self) -> dict[str, Any]:
        try:
            found = zarr.open_group(self.path, mode="r").attrs.asdict()["prepared"]
        except (OSError, ValueError, KeyError, zarr.errors.GroupNotFoundError) as e:
            raise DataError(
                f"'{self.path}' is no prepared store ({e}); delete it, so that it is made again"
            ) from e
        assert isinstance(found, dict)
        return found

    def obs(self) -> pd.DataFrame:
        return plain(read_elem(zarr.open_group(self.path, mode="r")["obs"]))

    def var(self) -> pd.DataFrame:
        return read_elem(zarr.open_group(self.path, mode="r")["var"])

    def read(
        self,
        samples: np.ndarray | None = None,
        genes: np.ndarray | None = None,
        threads: int | None = None,
    ) -> AnnData:
        """Some samples and genes; only the chunks that hold them are read.

        :param samples, genes: ascending positions; None: all
        :raises DataError: a chunk that is missing or damaged
        """
        root = zarr.open_group(self.path, mode="r")
        obs, var, array = self.obs(), self.var(), _matrix(root)
        n, p = array.shape
        rows = np.arange(n) if samples is None else np.asarray(samples)
        columns = np.arange(p) if genes is None else np.asarray(genes)
        x = np.empty((len(rows), len(columns)), np.float32)

        def fill(at: tuple[int, int]) -> None:
            i, j = at
            here = slice(*np.searchsorted(rows, (i, i + ROWS)))
            there = slice(*np.searchsorted(columns, (j, j + COLUMNS)))
            if here.start == here.stop or there.start == there.stop:
                return
            block = array[i : i + ROWS, j : j + COLUMNS]
            whole = here.stop - here.start == len(block), there.stop - there.start == block.shape[1]
            if not whole[0]:
                block = block[rows[here] - i]
            x[here, there] = block if whole[1] else block[:, columns[there] - j]

        try:
            with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
                list(
                    pool.map(
                        fill, [(i, j) for i in range(0, n, ROWS) for j in range(0, p, COLUMNS)]
                    )
                )
        except (OSError, RuntimeError, ValueError) as e:
            raise DataError(
                f"the prepared store '{self.path}' is damaged ({e}); delete it, so that it is made"
                " again"
            ) from e
        return AnnData(x, obs=obs.iloc[rows], var=var.iloc[columns])

    def check(self) -> str:
        """Read everything and compare it with the content hash.

        :returns: the content hash
        :raises DataError: naming the first chunk that differs
        """
        if not self.exists:
            raise DataError(f"there is no prepared store '{self.path}'")
        provenance = self.provenance()
        root = zarr.open_group(self.path, mode="r")
        array = _matrix(root)
        digests = {}
        for name, expected in provenance["chunks"].items():
            i, j = map(int, name.split(","))
            rows, columns = i * ROWS, j * COLUMNS
            try:
                found = _digest(array[rows : rows + ROWS, columns : columns + COLUMNS])
            except (OSError, RuntimeError, ValueError) as e:
                found = str(e)
            if found != expected:
                raise DataError(
                    f"the prepared store '{self.path}' is damaged: samples from {rows}, genes from"
                    f" {columns} are not what was written; delete it, so that it is made again from"
                    " the downloads"
                )
            digests[i, j] = found
        var = self.var()
        content = _content_hash(digests, self.obs(), var, list(var.index))
        if content != provenance["content"]:
            raise DataError(
                f"the prepared store '{self.path}' is damaged: its obs or var are not what was"
                " written; delete it"
            )
        return content


def even_blocks(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The same rows in blocks of ROWS, as `StoreWriter.put` takes them."""
    rows, n = np.empty((0, 0), np.float32), 0
    for block in blocks:
        at = 0
        while at < len(block):
            if not n:
                rows = np.empty((ROWS, block.shape[1]), block.dtype)
            some = block[at : at + ROWS - n]
            rows[n : n + len(some)] = some
            n, at = (n + len(some)) % ROWS, at + len(some)
            if not n:
                yield rows
    if n:
        yield rows[:n]


def _matrix(
    root: zarr.Group,
) -> Any:  # zarr types an array's values as anything that a buffer may hold
    return root["X"]


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _digest(block: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(block).data, digest_size=16).hexdigest()


def _content_hash(
    digests: dict[tuple[int, int], str], obs: pd.DataFrame, var: pd.DataFrame, genes: list[str]
) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update("".join(digests[at] for at in sorted(digests)).encode())
    for table in (obs, var.set_axis(genes, axis=0)):
        # the same text before it is written and after it is read back, whatever type a column then
        # has
        words = table.astype(object).where(table.notna(), "")
        digest.update(words.to_csv(lineterminator="\n", index_label="id").encode())
    return digest.hexdigest()


@contextmanager
def one_writer(path: Path) -> Iterator[None]:
    """Only one process prepares a store; others wait and say so. A killed process lets go by
    itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another process prepares %s; waiting for it", path.name)
        started = spoke = time.monotonic()
        while True:
            try:
                lock.acquire(timeout=5)
                break
            except Timeout:
                if time.monotonic() - spoke > 60:
                    spoke = time.monotonic()
                    log.info("still waiting for %s, %.0f min", path.name, (spoke - started) / 60)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """A full disk, or a folder that cannot be written, as an error that says what to do."""
    try:
        yield
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space(folder, "while preparing the data") from e
        if e.filename is not None and Path(os.fsdecode(e.filename)).is_relative_to(folder):
            raise DataError(
                f"dataset.cache: '{folder}' cannot be used ({e.strerror}:"
                f" '{os.fsdecode(e.filename)}'); name a folder that you may write to with"
                " dataset.cache=…"
            ) from e
        raise
