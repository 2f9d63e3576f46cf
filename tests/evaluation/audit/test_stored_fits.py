"""The audit of run and sweep directories, stores and single records."""

from pathlib import Path

import pytest
from made_up_fits import PREDICTIONS, SHEET, a_fit

from beyondlinear.evaluation.audit.row_usage import manifest_path
from beyondlinear.evaluation.audit.stored_fits import audit_paths
from beyondlinear.records.store import RecordStore
from beyondlinear.runtime.errors import ResultsError
from beyondlinear.runtime.files import write_json


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    """Three fits: ab12 is clean, cd34 has seen test samples, ef56 was skipped."""
    made = RecordStore(tmp_path / "records")
    SHEET.write(manifest_path(made.root, "f00d"))
    for key, steps in (("ab12", {}), ("cd34", {"stopping": [6, 10]})):
        record, row_usage = a_fit(steps=steps)
        made.put(record | {"key": key}, PREDICTIONS | row_usage.arrays())
    made.put({"key": "ef56", "status": "skipped", "names": {}, "reason": "no validation part"})
    return made


def listed(directory: Path, store: RecordStore, *keys: str) -> None:
    """A run directory that lists fits with these keys."""
    fits = [{"key": key, "fold": 0, "fraction": 1.0} for key in keys]
    said = {
        "names": {"signal_removal": "none", "protocol": "sound"},
        "seed": 0,
        "config": {"scale": "standardise"},
    }
    write_json(directory / "fits_77.json", said | {"store": str(store.root), "fits": fits})


def found_at(*paths: Path, **options) -> dict[str, list[str]]:
    return {
        record["key"]: [f.check for f in findings]
        for record, findings in audit_paths(paths, **options)
    }


EXPECTED = {"ab12": [], "cd34": ["selection on test"], "ef56": ["not audited"]}


class TestAuditPaths:
    def test_a_store_and_a_record(self, store):
        assert found_at(store.root) == EXPECTED
        assert found_at(store.path("cd34")) == {"cd34": ["selection on test"]}

    def test_a_run_and_a_sweep_directory_and_one_fit_once(self, store, tmp_path):
        listed(tmp_path / "sweep" / "0", store, "ab12", "cd34")
        listed(tmp_path / "sweep" / "1", store, "cd34", "ef56", "0099")
        of_run = {"ab12": [], "cd34": ["selection on test"]}
        assert found_at(tmp_path / "sweep" / "0") == of_run
        assert found_at(tmp_path / "sweep" / "0" / "fits_77.json", store.path("ab12")) == of_run
        assert found_at(tmp_path / "sweep") == EXPECTED | {"0099": ["not audited"]}

    def test_a_store_that_was_moved(self, store, tmp_path):
        listed(tmp_path / "run", store, "ab12")
        store.root.rename(tmp_path / "moved")
        assert found_at(tmp_path / "run") == {"ab12": ["not audited"]}
        assert found_at(tmp_path / "run", store=str(tmp_path / "moved")) == {"ab12": []}

    def test_a_fit_that_was_made_before_ledgers_were_kept(self, store):
        store.put(a_fit()[0], PREDICTIONS)
        [(_, [finding])] = audit_paths([store.path("ab12")])
        assert (finding.severity, finding.check) == ("note", "not audited")
        assert finding.evidence.startswith("no row usage log was kept with the record")

    def test_files_that_are_lost_or_damaged(self, store):
        store.path("ab12").with_suffix(".npz").write_bytes(b"PK\x03\x04 cut")
        manifest_path(store.root, "f00d").unlink()
        [(_, [one]), (_, [two])] = audit_paths([store.path("ab12"), store.path("cd34")])
        assert one.check == two.check == "not audited"
        assert "ab12.npz cannot be read (BadZipFile" in one.evidence
        assert "f00d.npz is not a readable manifest of samples" in two.evidence

    def test_paths_that_hold_nothing(self, store, tmp_path):
        (tmp_path / "empty").mkdir()
        (tmp_path / "notes.txt").write_text("")
        for name, rule in (
            ("nowhere", "does not exist"),
            ("empty", "holds no fits"),
            ("notes.txt", "is no record"),
        ):
            with pytest.raises(ResultsError, match=f"{name} {rule}; give a run or sweep directory"):
                audit_paths([tmp_path / name])
        with pytest.raises(ResultsError, match="--store .*nowhere is not a directory"):
            audit_paths([store.root], store=str(tmp_path / "nowhere"))
