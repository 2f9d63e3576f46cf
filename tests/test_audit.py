import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from beyondlinear.audit import Finding, audit_fit, clean_line, summarise
from beyondlinear.audit_store import audit_paths
from beyondlinear.errors import ResultsError
from beyondlinear.ledger import Ledger, Sheet, sheet_path
from beyondlinear.results import Store, write_json

# s0 … s15 of classes A, B, A, B …; two samples a group: s0 and s1 are group 0, s2 and s3 group 1 …
NO_SETS, IDS = np.full(16, -1), np.array([f"s{i}" for i in range(16)])
SHEET = Sheet(IDS, np.arange(16) // 2, np.arange(16) % 2, ["A", "B"], exact=NO_SETS, near=NO_SETS)
FIT, TUNE, VALIDATION = [0, 1, 2, 3, 4, 5], [6, 7, 8, 9], [10, 11, 12, 13]
PARTS = {"fit": FIT, "tune": TUNE, "validation": VALIDATION}
PAPER = {
    "config": {"scale": "minmax", "protocol": {"name": "paper", "fit_on": "all", "tuning_once": True}},
    "names": {"signal_removal": "none", "protocol": "paper"},
}
SPLIT, FULL = (
    {"names": {"signal_removal": mode, "protocol": "sound"}, "removal": {"labels_of": whose}}
    for mode, whose in (("split", "every part"), ("full", "all samples"))
)
TUNED = {"method": "tpe", "signal_removal": "none", "fraction": 1.0}
# every sample of validation is scored right
PREDICTIONS = {"sample_id": IDS[VALIDATION], "code": np.array([0, 1, 0, 1]), "scores": np.eye(2)[[0, 1, 0, 1]]}
STEPS = {"preparation": FIT, "class weights": FIT, "weights": FIT, "stopping": TUNE, "calibration": TUNE}


def ledger_of(parts: dict[str, list[int]], steps: dict[str, list[int]]) -> Ledger:
    ledger = Ledger(16)
    for name, rows in parts.items():
        ledger.part(name, np.array(rows))
    for name, rows in steps.items():
        ledger.saw(name, np.array(rows))
    return ledger


def record_of(rows: Ledger, **changes) -> dict:
    """The record of a sound fit with this ledger, as it comes from a file."""
    record = {
        "key": "ab12",
        "status": "done",
        "names": {"signal_removal": "none", "protocol": "sound"},
        "fraction": 1.0,
        "config": {"scale": "standardise", "protocol": {"name": "sound", "fit_on": "fit", "tuning_once": False}},
        "data": {"n_samples": 16, "fingerprint": "f00d"},
        "counts": {f"n_{part}": len(rows.rows("part", part)) for part in ("fit", "tune", "validation")},
        "ledger": rows.summary(IDS),
        "metrics": {"balanced_accuracy": 1.0},
    }
    return json.loads(json.dumps(record | changes))


def a_fit(parts: dict | None = None, steps: dict | None = None, **changes) -> tuple[dict, Ledger]:
    """A clean fit but for what is planted; s14 and s15 are unused."""
    ledger = ledger_of(PARTS | (parts or {}), STEPS | (steps or {}))
    return record_of(ledger, **changes), ledger


def audited(sheet: Sheet = SHEET, **planted) -> list[Finding]:
    return audit_fit(*a_fit(**planted), sheet)


def kinds(sheet: Sheet = SHEET, **planted) -> list[tuple[str, str]]:
    return [(f.severity, f.check) for f in audited(sheet, **planted)]


def with_sets(kind: str, *sets: list[int]) -> Sheet:
    numbers = NO_SETS.copy()
    for number, rows in enumerate(sets):
        numbers[rows] = number
    return replace(SHEET, **{kind: numbers})


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        ({"parts": {"tune": [5, 6, 7, 8, 9]}}, [("caution", "groups straddle")]),
        ({"parts": {"pretraining fit": [4, 14]}}, [("caution", "groups straddle")]),
        ({"parts": {"pretraining fit": [12, 14]}}, [("leak", "groups straddle")]),
        ({"sheet": with_sets("exact", [2, 12])}, [("leak", "exact duplicates across parts")]),
        ({"sheet": with_sets("near", [6, 12])}, [("leak", "near duplicates across parts")]),
        ({"sheet": with_sets("exact", [0, 8])}, [("caution", "exact duplicates across parts")]),
        ({"sheet": with_sets("near", [0, 8])}, [("caution", "near duplicates across parts")]),
        ({"sheet": with_sets("exact", [0, 2], [12, 14])}, []),  # within a part, and with an unused sample
        ({"steps": {"class weights": [*FIT, 6]}}, [("caution", "fitted outside the fit part")]),
        ({"steps": {"tuning": [*FIT, *TUNE, 14, 15]}}, []),  # the whole training part
        ({"tuning": TUNED}, []),
        (FULL, [("leak", "removal=full")]),
        (SPLIT | {"steps": {"removal": [*FIT, *VALIDATION]}}, [("note", "removal=split")]),
        ({"ledger": None}, [("leak", "record changed")]),
    ],
)
def test_severities(planted, expected):
    assert kinds(**planted) == expected


def test_clean_fits_have_no_findings():
    assert audited() == []
    untuned = ledger_of(PARTS | {"tune": []}, {"preparation": FIT, "weights": FIT})
    assert audit_fit(record_of(untuned), untuned, SHEET) == []
    parts = PARTS | {"fit": [0, 1], "pretraining fit": [2, 3, 4, 5], "pretraining tune": [14, 15]}
    steps = {"preparation": [2, 3, 4, 5], "pretraining": [2, 3, 4, 5], "weights": [0, 1], "stopping": [6, 14, 15]}
    pretrained = ledger_of(parts, steps)
    assert audit_fit(record_of(pretrained), pretrained, SHEET) == []


class TestGroups:
    def test_a_group_in_fit_and_validation(self):
        first = audited(parts={"fit": [0, 1, 2, 3, 4, 14], "validation": [10, 11, 15]}, steps={"weights": [14]})[0]
        evidence = "fit and validation share 1 group (1 and 1 samples), e.g. s14 (fit) and s15 (validation)"
        assert first == Finding("leak", "groups straddle", evidence)

    def test_a_sample_in_both_is_counted_as_such(self):
        assert audited(parts={"validation": [10, 11, 0]})[0].evidence == (
            "fit and validation share 1 group (2 and 1 samples, 1 of them in both), e.g. s0 (fit) and s0 (validation)"
        )


class TestDuplicates:
    def test_equal_profiles_in_fit_and_validation(self):
        [finding] = audited(with_sets("exact", [2, 12], [4, 11]))
        assert finding.evidence == (
            "2 fit and 2 validation samples of different groups are equal, e.g. s2 (fit) and s12 (validation); labels "
            "agree in 1 of 2 sets"
        )

    def test_near_profiles_in_tune_and_validation(self):
        [finding] = audited(with_sets("near", [6, 12, 13]))
        assert finding.evidence == (
            "1 tune and 2 validation samples of different groups correlate above 0.9999, e.g. s6 (tune) and s12 "
            "(validation); labels agree in 0 of 1 set"
        )

    def test_a_pair_is_not_reported_twice(self):
        both = replace(with_sets("exact", [2, 12]), near=with_sets("near", [2, 12]).near)
        assert kinds(both) == [("leak", "exact duplicates across parts")]
        torn = {"tune": [6, 7, 14], "validation": [10, 11, 15]}
        assert kinds(with_sets("exact", [14, 15]), parts=torn) == [("leak", "groups straddle")]


class TestFittedSteps:
    def test_any_that_saw_validation_samples(self):
        fitted = ["preparation", "class weights", "weights", "removal", "pretraining"]
        for step in [*fitted, "stopping", "calibration", "penalty", "tuning"]:
            check = "fitted outside the fit part" if step in fitted else "selection on validation"
            evidence = f"{step} saw 2 of 4 validation samples, e.g. s11, s12"
            assert audited(steps={step: [*STEPS.get(step, []), 11, 12]}) == [Finding("leak", check, evidence)]

    def test_one_that_saw_more_than_the_fit_part(self):
        evidence = "preparation saw 2 tune samples and 1 unused sample, e.g. s6, s7, s14"
        found = audited(steps={"preparation": [*FIT, 6, 7, 14]})
        assert found == [Finding("caution", "fitted outside the fit part", evidence)]

    def test_the_protocol_that_chose_it_is_named(self):
        [finding] = audited(steps={"preparation": list(range(16))}, **PAPER)
        assert finding.evidence == (
            "preparation saw 4 of 4 validation samples and 4 tune samples and 2 unused samples, e.g. s10, s11, s12 "
            "(a choice of protocol=paper)"
        )
        assert "protocol" not in audited(steps={"weights": [*FIT, 10]}, **PAPER)[0].evidence


def test_classes_absent_from_a_part():
    assert audited(parts={"tune": [6, 8], "validation": [11, 13]}, steps={"stopping": [6], "calibration": [6]}) == [
        Finding("caution", "classes absent", "tune has no sample of 1 class of 2: 'B'"),
        Finding("caution", "classes absent", "validation has no sample of 1 class of 2: 'A'"),
    ]


def test_tuned_on_another_removal_or_on_another_fraction_as_the_paper_did():
    [finding] = audited(tuning=TUNED, names={"signal_removal": "erase", "protocol": "sound"})
    assert (finding.severity, finding.check) == ("caution", "tuned on another removal")
    assert finding.evidence == (
        "hyperparameters were chosen with signal_removal=none at fraction 1.0 and used with signal_removal=erase at "
        "fraction 1.0"
    )
    [finding] = audited(tuning=TUNED, fraction=0.1, **PAPER)
    assert finding.evidence.endswith("signal_removal=none at fraction 0.1 (a choice of protocol=paper)")


def test_split_removal_is_noted_as_oracle():
    [finding] = audited(**SPLIT)
    assert finding.evidence.startswith("oracle labels: signal was removed from each part with the part's own labels")


class TestRecordChanged:
    def test_other_rows_than_the_record_names(self):
        record, ledger = a_fit()
        ledger.saw("stopping", np.array([14]))
        evidence = "the record's hash of sample ids does not fit the ledger and the sheet: step stopping"
        assert audit_fit(record, ledger, SHEET) == [Finding("leak", "record changed", evidence)]

    def test_other_samples_on_the_sheet(self):
        record, ledger = a_fit()
        ids = IDS.copy()
        ids[[0, 15]] = ids[[15, 0]]
        [finding] = audit_fit(record, ledger, replace(SHEET, sample_ids=ids))
        assert finding.evidence.endswith("part fit, step preparation, step class weights, … (4 in all)")
        short = Sheet(ids[:9], *(np.zeros(9, dtype=np.int64),) * 2, ["A", "B"], *(np.full(9, -1),) * 2)
        [finding] = audit_fit(record, ledger, short)
        assert finding == Finding("leak", "record changed", "the ledger is over 16 samples, the sheet over 9")

    def test_other_counts(self):
        [finding] = audited(counts={"n_fit": 6, "n_tune": 4, "n_validation": 5})
        assert finding == Finding("leak", "record changed", "the record counts 5 validation samples, the ledger 4")

    def test_predictions_of_other_samples(self):
        record, ledger = a_fit()
        assert audit_fit(record, ledger, SHEET, PREDICTIONS) == []
        assert audit_fit(record, ledger, SHEET, PREDICTIONS | {"sample_id": IDS[[10, 11, 0, 1]]}) == [
            Finding("leak", "record changed", "2 predictions of samples that are not in validation, e.g. s0, s1")
        ]

    def test_labels_scores_or_accuracy_that_were_changed(self):
        record, ledger = a_fit()
        other = PREDICTIONS | {"code": 1 - PREDICTIONS["code"], "scores": PREDICTIONS["scores"][:, ::-1]}
        [labels] = audit_fit(record, ledger, SHEET, other)
        assert labels.evidence.startswith("4 predictions with another label than the sample's, e.g. ")
        [scores] = audit_fit(record, ledger, SHEET, PREDICTIONS | {"scores": np.zeros((4, 2))})
        assert scores.evidence == "the record's balanced accuracy is 1.0, that of its stored scores 0.500000"
        [accuracy] = audit_fit(record | {"metrics": {"balanced_accuracy": 0.999}}, ledger, SHEET, PREDICTIONS)
        assert (accuracy.severity, accuracy.check) == ("leak", "record changed")


def test_what_must_be_there_and_is_not_written_down():
    ledger = ledger_of({"fit": FIT}, {})
    missing = "the ledger has no rows of part validation, step weights, step preparation: not all could be checked"
    found = audit_fit(record_of(ledger), ledger, SHEET)
    assert found == [Finding("caution", "not written down", missing)]
    [finding] = audit_fit(record_of(ledger, config={"scale": "none"}), ledger, SHEET)
    assert finding.evidence.startswith("the ledger has no rows of part validation, step weights:")
    [finding] = audited(parts={"fit": [*FIT, 14]}, steps={"preparation": [14], "class weights": [14]})
    assert finding == Finding("caution", "not written down", "weights saw 6 of 7 fit samples")


def test_findings_of_many_fits_in_one_line_each():
    one, two = (Finding("leak", "groups straddle", f"share {n} groups") for n in (1, 2))
    note = Finding("note", "removal=split", "oracle labels")
    assert summarise([[note, one, two], [note], [note, two]]) == [
        "leak     groups straddle  (2 of 3 fits)  e.g. share 1 groups",
        "note     removal=split  (3 of 3 fits)  oracle labels",
    ]
    assert clean_line(1).startswith("audit: no leak found in 1 fit (groups, duplicates, fitted steps, ")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three fits: ab12 is clean, cd34 has seen validation samples, ef56 was skipped."""
    made = Store(tmp_path / "records")
    SHEET.write(sheet_path(made.root, "f00d"))
    for key, steps in (("ab12", {}), ("cd34", {"stopping": [6, 10]})):
        record, ledger = a_fit(steps=steps)
        made.put(record | {"key": key}, PREDICTIONS | ledger.arrays())
    made.put({"key": "ef56", "status": "skipped", "names": {}, "reason": "no tune part"})
    return made


def listed(directory: Path, store: Store, *keys: str) -> None:
    """A run directory that lists fits with these keys."""
    fits = [{"key": key, "fold": 0, "fraction": 1.0} for key in keys]
    said = {"names": {"signal_removal": "none", "protocol": "sound"}, "seed": 0, "config": {"scale": "standardise"}}
    write_json(directory / "fits_77.json", said | {"store": str(store.root), "fits": fits})


def found_at(*paths: Path, **options) -> dict[str, list[str]]:
    return {record["key"]: [f.check for f in findings] for record, findings in audit_paths(paths, **options)}


EXPECTED = {"ab12": [], "cd34": ["selection on validation"], "ef56": ["not audited"]}


class TestAuditPaths:
    def test_a_store_and_a_record(self, store):
        assert found_at(store.root) == EXPECTED
        assert found_at(store.path("cd34")) == {"cd34": ["selection on validation"]}

    def test_a_run_and_a_sweep_directory_and_one_fit_once(self, store, tmp_path):
        listed(tmp_path / "sweep" / "0", store, "ab12", "cd34")
        listed(tmp_path / "sweep" / "1", store, "cd34", "ef56", "0099")
        of_run = {"ab12": [], "cd34": ["selection on validation"]}
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
        assert finding.evidence.startswith("no ledger was kept with the record")

    def test_files_that_are_lost_or_damaged(self, store):
        store.path("ab12").with_suffix(".npz").write_bytes(b"PK\x03\x04 cut")
        sheet_path(store.root, "f00d").unlink()
        [(_, [one]), (_, [two])] = audit_paths([store.path("ab12"), store.path("cd34")])
        assert one.check == two.check == "not audited"
        assert "ab12.npz cannot be read (BadZipFile" in one.evidence
        assert "f00d.npz is not a readable sheet of samples" in two.evidence

    def test_paths_that_hold_nothing(self, store, tmp_path):
        (tmp_path / "empty").mkdir()
        (tmp_path / "notes.txt").write_text("")
        for name, rule in (("nowhere", "does not exist"), ("empty", "holds no fits"), ("notes.txt", "is no record")):
            with pytest.raises(ResultsError, match=f"{name} {rule}; give a run or sweep directory"):
                audit_paths([tmp_path / name])
        with pytest.raises(ResultsError, match="--store .*nowhere is not a directory"):
            audit_paths([store.root], store=str(tmp_path / "nowhere"))
