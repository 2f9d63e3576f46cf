"""The prepared store: whole or not there, the same bits for the same content, damage that is
found."""

import multiprocessing
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata.io import write_elem

from beyondlinear.data.store import COLUMNS, ROWS, ExpressionStore, StoreWriter, one_writer
from beyondlinear.runtime.errors import DataError

N, P = ROWS + 44, COLUMNS + 7


def content(n: int = N, p: int = P) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    random = np.random.default_rng(0)
    x = (random.gamma(0.5, 3, (n, p)) * (random.random((n, p)) > 0.4)).astype(np.float32)
    tissue = [None if i % 5 == 0 else f"T{i % 3}" for i in range(n)]
    obs = pd.DataFrame(
        {"tissue": tissue, "depth": random.normal(size=n)}, index=[f"s{i}" for i in range(n)]
    )
    return x, obs, pd.DataFrame({"mean": x.mean(0, dtype=np.float64)})


def write(path: Path, by: str = "rows") -> str:
    x, obs, var = content()
    writer = StoreWriter(path, N, [f"g{j}" for j in range(P)])
    if by == "rows":
        for i in range(0, N, ROWS):
            writer.put(i, 0, x[i : i + ROWS])
    else:
        for j in reversed(range(0, P, COLUMNS)):
            writer.put(0, j, x[:, j : j + COLUMNS])
    return writer.finish(obs, var, {"source": "a test"})


def test_what_was_written_is_read_and_anndata_reads_it_too(tmp_path):
    x, obs, var = content()
    hashed = write(tmp_path / "a.zarr")
    store = ExpressionStore(tmp_path / "a.zarr")
    found = store.read()
    np.testing.assert_array_equal(found.X, x)
    assert found.X.dtype == np.float32
    assert found.obs["tissue"].isna().sum() == N // 5
    assert found.obs["tissue"].fillna("").tolist() == obs["tissue"].fillna("").tolist()
    np.testing.assert_array_equal(found.obs["depth"], obs["depth"])
    np.testing.assert_array_equal(found.var["mean"], var["mean"])
    assert store.check() == hashed == store.provenance()["content"]
    np.testing.assert_array_equal(anndata.read_zarr(tmp_path / "a.zarr").X, x)


def test_some_samples_and_genes(tmp_path):
    x, obs, _ = content()
    write(tmp_path / "a.zarr")
    rows, columns = np.array([3, 4, ROWS - 1, ROWS, N - 1]), np.array([0, 5, COLUMNS, P - 1])
    found = ExpressionStore(tmp_path / "a.zarr").read(rows, columns)
    np.testing.assert_array_equal(found.X, x[np.ix_(rows, columns)])
    assert list(found.obs_names) == list(obs.index[rows])
    assert list(found.var_names) == ["g0", "g5", f"g{COLUMNS}", f"g{P - 1}"]


def test_the_content_hash_does_not_depend_on_the_order_of_writing(tmp_path):
    assert write(tmp_path / "a.zarr") == write(tmp_path / "b.zarr", by="columns")


def test_a_store_without_its_end_is_none(tmp_path):
    x, _, _ = content()
    StoreWriter(tmp_path / "a.zarr", N, [f"g{j}" for j in range(P)]).put(0, 0, x[:ROWS])
    assert not ExpressionStore(tmp_path / "a.zarr").exists
    with pytest.raises(DataError, match="there is no prepared store"):
        ExpressionStore(tmp_path / "a.zarr").check()
    write(tmp_path / "a.zarr")  # over what the killed writer left
    assert ExpressionStore(tmp_path / "a.zarr").exists


@pytest.mark.parametrize("how", ["lost", "changed", "obs"])
def test_damage_is_found(tmp_path, how):
    write(tmp_path / "a.zarr")
    chunk = tmp_path / "a.zarr/X/c/1/0"
    if how == "lost":
        chunk.unlink()
    elif how == "changed":
        chunk.write_bytes((tmp_path / "a.zarr/X/c/1/1").read_bytes())
    else:
        values = next(
            p
            for p in (tmp_path / "a.zarr/obs/depth").rglob("*")
            if p.is_file() and p.name != "zarr.json"
        )
        other = tmp_path / "b.zarr"
        write(other)
        table = anndata.read_zarr(other)
        table.obs["depth"] = 0.0
        with anndata.settings.override(auto_shard_zarr_v3=False):
            write_elem(
                zarr.open_group(tmp_path / "c.zarr", mode="w", zarr_format=3), "obs", table.obs
            )
        source = tmp_path / "c.zarr/obs/depth" / values.relative_to(tmp_path / "a.zarr/obs/depth")
        if source.exists():
            values.write_bytes(source.read_bytes())
        else:  # a chunk of zeros is not written at all
            values.unlink()
    with pytest.raises(DataError, match="is damaged"):
        ExpressionStore(tmp_path / "a.zarr").check()


def _writer(path: Path, began, times) -> None:
    with one_writer(path):
        began.set()
        started = time.monotonic()
        time.sleep(0.5)
        times.put((started, time.monotonic()))


def test_only_one_process_writes_and_the_other_waits(tmp_path):
    context = multiprocessing.get_context("fork")
    times = context.Queue()
    events = [context.Event(), context.Event()]
    processes = [
        context.Process(target=_writer, args=(tmp_path / "a.zarr", e, times)) for e in events
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    (_, end), (start, _) = sorted(times.get(timeout=5) for _ in processes)
    assert start >= end
