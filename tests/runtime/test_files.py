import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from beyondlinear.runtime.errors import ResultsError
from beyondlinear.runtime.files import atomic, plain, read_json, write_json


def test_a_writer_killed_half_way_leaves_the_old_record(tmp_path):
    path = tmp_path / "record.json"
    write_json(path, {"n": 1})
    script = (
        "import json, os, sys\n"
        "from pathlib import Path\n"
        "from beyondlinear.runtime import files\n"
        "json.dump = lambda content, f, **k: (f.write('{\"n\": '), f.flush(), os._exit(9))\n"
        f"files.write_json(Path({str(path)!r}), {{'n': 2}})\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    assert json.loads(path.read_text()) == {"n": 1}


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full"
)
def test_a_full_disk_is_said_and_nothing_half_written_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "beyondlinear.runtime.files.tempfile.mkstemp",
        lambda **k: (os.open("/dev/null", os.O_RDONLY), "/dev/full"),
    )
    monkeypatch.setattr("beyondlinear.runtime.files.Path.unlink", lambda *a, **k: None)
    with pytest.raises(
        ResultsError, match="No space left on device.*make room.*same command again"
    ):
        write_json(tmp_path / "record.json", {"n": 1})
    assert not (tmp_path / "record.json").exists()


def write_half(path: Path) -> None:
    with atomic(path) as temporary:
        Path(temporary).write_text("half")
        raise ZeroDivisionError


def test_a_block_that_fails_leaves_nothing_and_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_half(path)
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]
    assert path.read_text() == "old"


def test_json_knows_no_nan_and_no_numpy():
    values = {
        1: np.float64("nan"),
        "a": np.int64(3),
        "b": np.array([0.5, np.inf]),
        "c": (True, "x"),
    }
    assert plain(values) == {"1": None, "a": 3, "b": [0.5, None], "c": [True, "x"]}


def test_what_was_written_is_read_and_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "a" / "record.json"
    write_json(path, {"name": "Größe", "n": 2})
    assert read_json(path) == {"name": "Größe", "n": 2}
    path.write_text("{")
    with pytest.raises(ResultsError, match=r"record.json is not a readable record"):
        read_json(path)
