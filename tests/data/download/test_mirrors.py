"""Mirrors that die, lie, hang and answer errors: a whole file or a clear error, never half a file
in place."""

import errno
import gzip
import os
import subprocess
from pathlib import Path

import pytest
from mirror import serve

from beyondlinear.data.download.mirrors import Mirrors, MissingFileError, safe_name
from beyondlinear.runtime.errors import DataError

TEXT = os.urandom(400_000)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "tree/a").mkdir(parents=True)
    (tmp_path / "tree/a/x.gz").write_bytes(gzip.compress(TEXT, mtime=0))
    with serve(tmp_path / "tree") as (url, faults):
        yield url, faults, tmp_path


def mirrors(*places: str, cache: Path, attempts: int = 4, **more) -> Mirrors:
    return Mirrors(places, cache / "cache", attempts=attempts, pause=0.01, **more)


def content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


@pytest.mark.parametrize(
    "faults",
    [[], [503, 503], ["die"], ["die", 503, "die"], ["html"], [429, "html", "die"]],
    ids=str,
)
def test_what_a_retry_can_mend_is_mended(place, faults):
    url, server, folder = place
    server.of["x.gz"] = list(faults)
    path = mirrors(url, cache=folder).fetch("a/x.gz")
    assert content(path) == TEXT
    assert len(server.requests) == len(faults) + 1
    assert [p.name for p in path.parent.iterdir()] == ["x.gz"]


def test_a_file_that_broke_off_is_resumed_where_it_ended(place):
    url, server, folder = place
    server.of["x.gz"] = ["die"]
    size = (folder / "tree/a/x.gz").stat().st_size
    got = []
    mirrors(url, cache=folder).fetch("a/x.gz", got.append)
    first, again = (asked for _, asked in server.requests)
    assert first == ""
    assert size // 2 - 32768 < int(again.removeprefix("bytes=")[:-1]) <= size // 2
    assert sum(got) == size


def test_a_file_of_an_earlier_process_is_resumed_only_if_it_is_the_same_file(place):
    url, server, folder = place
    server.of["x.gz"] = ["die"]
    with pytest.raises(MissingFileError, match="ended after|IncompleteRead"):
        mirrors(url, cache=folder, attempts=1).fetch("a/x.gz")
    assert (folder / "cache/a/x.gz.part").stat().st_size > 0
    assert not (folder / "cache/a/x.gz").exists()
    assert content(mirrors(url, cache=folder).fetch("a/x.gz")) == TEXT
    assert server.requests[-1][1].startswith("bytes=")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (404, "HTTP 404"),
        (403, "HTTP 403"),
        (503, "HTTP 503.*4 tries"),
        ("html", "HTML page"),
        ("hang", "timed out"),
    ],
)
def test_what_stays_broken_is_named_with_its_reason(place, fault, said):
    url, server, folder = place
    server.of["x.gz"] = [fault] * 9
    with pytest.raises(
        MissingFileError, match=f"(?s)'a/x.gz' was not found.*{url}/a/x.gz: .*{said}"
    ):
        mirrors(url, cache=folder, timeout=0.3).fetch("a/x.gz")
    assert not (folder / "cache/a/x.gz").exists()


def test_a_hash_that_the_server_states_is_checked(place):
    url, server, folder = place
    server.wrong_hash = True
    with pytest.raises(MissingFileError, match="MD5 [0-9a-f]{32} where the server states"):
        mirrors(url, cache=folder, attempts=2).fetch("a/x.gz")


def test_mirrors_are_tried_in_turn_and_a_folder_is_used_where_it_lies(place):
    url, _, folder = place
    path = mirrors(
        str(folder / "nowhere"), "http://127.0.0.1:9", url, cache=folder, attempts=1
    ).fetch("a/x.gz")
    assert content(path) == TEXT
    here = mirrors(str(folder / "tree"), cache=folder).fetch("a/x.gz")
    assert here == folder / "tree/a/x.gz"
    assert not mirrors(str(folder / "tree"), cache=folder).discard(here)
    assert here.exists()


def test_a_file_in_the_cache_needs_no_server(place):
    url, server, folder = place
    path = mirrors(url, cache=folder).fetch("a/x.gz")
    assert mirrors("http://127.0.0.1:9", cache=folder).fetch("a/x.gz") == path
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", ".hidden", "a b", "x\n", "", "a//b", "~x"]
)
def test_names_that_could_leave_the_tree_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="may not be used for a file"):
        mirrors(str(tmp_path), cache=tmp_path).fetch(name)
    if "/" not in name:
        with pytest.raises(DataError, match="column 'project'"):
            safe_name(name, "column 'project'")


def test_a_full_disk_is_an_error_that_says_what_to_do(place):
    url, _, folder = place
    small = folder / "cache"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True
    ).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        with pytest.raises(
            DataError, match=r"no space left in .*while downloading a/x.gz.*dataset.cache"
        ):
            mirrors(url, cache=folder).fetch("a/x.gz")
        assert not (small / "a/x.gz").exists()
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_disk_that_is_full_by_quota_is_the_same_error(place, monkeypatch):
    url, _, folder = place

    def full(*_: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(Mirrors, "_receive", full)
    with pytest.raises(DataError, match="no space left"):
        mirrors(url, cache=folder).fetch("a/x.gz")
