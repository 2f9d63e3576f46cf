"""Many files at once: what is missing is named, what is damaged comes as its error."""

from pathlib import Path

import pytest

from beyondlinear.data.download import parallel
from beyondlinear.data.download.mirrors import Mirrors, MissingFileError
from beyondlinear.data.download.parallel import ProgressCounter, as_fetched, fetch_all, worked_on
from beyondlinear.data.gene_table import DamagedFileError


@pytest.fixture
def mirrors(tmp_path) -> Mirrors:
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_text(name)
    return Mirrors((str(folder),), tmp_path / "cache")


def test_missing_files_are_named_with_the_reason(mirrors):
    found, missing = fetch_all(mirrors, ["a", "x", "c"], 2, "files")
    assert {name: path.read_text() for name, path in found.items()} == {"a": "a", "c": "c"}
    assert list(missing) == ["x"]
    assert "no such file" in missing["x"]


def test_work_on_each_file_or_its_error(mirrors):
    def work(relative: str, path: Path) -> str:
        if relative == "b":
            raise DamagedFileError("b is damaged")
        return path.read_text() * 2

    with ProgressCounter("files", 4) as counter:
        files = as_fetched(mirrors, ["a", "b", "c", "x"], 2, counter, ahead=1)
        results = dict(worked_on(files, work))
    assert (results["a"], results["c"]) == ("aa", "cc")
    assert isinstance(results["b"], DamagedFileError)
    assert isinstance(results["x"], MissingFileError)


def test_progress_in_words(monkeypatch):
    counter = ProgressCounter("recount3", files=10, samples=200, unit="studies")
    counter.received(3_000_000)
    counter.file_done(50)
    monkeypatch.setattr(parallel.time, "monotonic", lambda: counter.started + 10)
    assert counter.text().startswith(
        "recount3: 1 of 10 studies, 50 of 200 samples (5/s), 3 MB downloaded (0.3 MB/s), about 30"
    )
