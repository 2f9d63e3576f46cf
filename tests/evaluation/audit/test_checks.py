from dataclasses import replace

import numpy as np
import pytest
from made_up_fits import (
    FIT,
    IDS,
    NO_SETS,
    PARTS,
    PREDICTIONS,
    SHEET,
    STEPS,
    TUNE,
    VALIDATION,
    a_fit,
    record_of,
    row_usage_of,
)

from beyondlinear.evaluation.audit.checks import Finding, audit_fit, clean_line, summarise
from beyondlinear.evaluation.audit.row_usage import SampleManifest

PAPER = {
    "config": {
        "scale": "minmax",
        "protocol": {"name": "paper", "fit_on": "all", "tuning_once": True},
    },
    "names": {"signal_removal": "none", "protocol": "paper"},
}
SPLIT, FULL = (
    {"names": {"signal_removal": mode, "protocol": "sound"}, "removal": {"labels_of": whose}}
    for mode, whose in (("split", "every part"), ("full", "all samples"))
)
TUNED = {"method": "tpe", "signal_removal": "none", "fraction": 1.0}


def audited(manifest: SampleManifest = SHEET, **planted) -> list[Finding]:
    return audit_fit(*a_fit(**planted), manifest)


def kinds(manifest: SampleManifest = SHEET, **planted) -> list[tuple[str, str]]:
    return [(f.severity, f.check) for f in audited(manifest, **planted)]


def with_sets(kind: str, *sets: list[int]) -> SampleManifest:
    numbers = NO_SETS.copy()
    for number, rows in enumerate(sets):
        numbers[rows] = number
    return replace(SHEET, **{kind: numbers})


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        ({"parts": {"validation": [5, 6, 7, 8, 9]}}, [("caution", "groups straddle")]),
        ({"parts": {"pretraining train": [4, 14]}}, [("caution", "groups straddle")]),
        ({"parts": {"pretraining train": [12, 14]}}, [("leak", "groups straddle")]),
        ({"manifest": with_sets("exact", [2, 12])}, [("leak", "exact duplicates across parts")]),
        ({"manifest": with_sets("near", [6, 12])}, [("leak", "near duplicates across parts")]),
        ({"manifest": with_sets("exact", [0, 8])}, [("caution", "exact duplicates across parts")]),
        ({"manifest": with_sets("near", [0, 8])}, [("caution", "near duplicates across parts")]),
        (
            {"manifest": with_sets("exact", [0, 2], [12, 14])},
            [],
        ),  # within a part, and with an unused sample
        ({"steps": {"class weights": [*FIT, 6]}}, [("caution", "fitted outside the train part")]),
        ({"steps": {"tuning": [*FIT, *TUNE, 14, 15]}}, []),  # the whole training part
        ({"tuning": TUNED}, []),
        (FULL, [("leak", "removal=full")]),
        (SPLIT | {"steps": {"removal": [*FIT, *VALIDATION]}}, [("note", "removal=split")]),
        ({"row_usage": None}, [("leak", "record changed")]),
    ],
)
def test_severities(planted, expected):
    assert kinds(**planted) == expected


def test_clean_fits_have_no_findings():
    assert audited() == []
    untuned = row_usage_of(PARTS | {"validation": []}, {"preparation": FIT, "weights": FIT})
    assert audit_fit(record_of(untuned), untuned, SHEET) == []
    parts = PARTS | {
        "train": [0, 1],
        "pretraining train": [2, 3, 4, 5],
        "pretraining validation": [14, 15],
    }
    steps = {
        "preparation": [2, 3, 4, 5],
        "pretraining": [2, 3, 4, 5],
        "weights": [0, 1],
        "stopping": [6, 14, 15],
    }
    pretrained = row_usage_of(parts, steps)
    assert audit_fit(record_of(pretrained), pretrained, SHEET) == []


class TestGroups:
    def test_a_group_in_fit_and_validation(self):
        first = audited(
            parts={"train": [0, 1, 2, 3, 4, 14], "test": [10, 11, 15]}, steps={"weights": [14]}
        )[0]
        evidence = "train and test share 1 group (1 and 1 samples), e.g. s14 (train) and s15 (test)"
        assert first == Finding("leak", "groups straddle", evidence)

    def test_a_sample_in_both_is_counted_as_such(self):
        assert (
            audited(parts={"test": [10, 11, 0]})[0].evidence
            == "train and test share 1 group (2 and 1 samples, 1 of them in both),"
            " e.g. s0 (train) and s0 (test)"
        )


class TestDuplicates:
    def test_equal_profiles_in_fit_and_validation(self):
        [finding] = audited(with_sets("exact", [2, 12], [4, 11]))
        assert (
            finding.evidence == "2 train and 2 test samples of different groups are equal,"
            " e.g. s2 (train) and s12 (test); labels agree in 1 of 2 sets"
        )

    def test_near_profiles_in_tune_and_validation(self):
        [finding] = audited(with_sets("near", [6, 12, 13]))
        assert (
            finding.evidence
            == "1 validation and 2 test samples of different groups correlate above 0.9999, e.g. s6"
            " (validation) and s12 (test); labels agree in 0 of 1 set"
        )

    def test_a_pair_is_not_reported_twice(self):
        both = replace(with_sets("exact", [2, 12]), near=with_sets("near", [2, 12]).near)
        assert kinds(both) == [("leak", "exact duplicates across parts")]
        torn = {"validation": [6, 7, 14], "test": [10, 11, 15]}
        assert kinds(with_sets("exact", [14, 15]), parts=torn) == [("leak", "groups straddle")]


class TestFittedSteps:
    def test_any_that_saw_validation_samples(self):
        fitted = ["preparation", "class weights", "weights", "removal", "pretraining"]
        for step in [*fitted, "stopping", "calibration", "penalty", "tuning"]:
            check = "fitted outside the train part" if step in fitted else "selection on test"
            evidence = f"{step} saw 2 of 4 test samples, e.g. s11, s12"
            assert audited(steps={step: [*STEPS.get(step, []), 11, 12]}) == [
                Finding("leak", check, evidence)
            ]

    def test_one_that_saw_more_than_the_fit_part(self):
        evidence = "preparation saw 2 validation samples and 1 unused sample, e.g. s6, s7, s14"
        found = audited(steps={"preparation": [*FIT, 6, 7, 14]})
        assert found == [Finding("caution", "fitted outside the train part", evidence)]

    def test_the_protocol_that_chose_it_is_named(self):
        [finding] = audited(steps={"preparation": list(range(16))}, **PAPER)
        assert (
            finding.evidence
            == "preparation saw 4 of 4 test samples and 4 validation samples and 2 unused samples,"
            " e.g. s10, s11, s12 (a choice of protocol=paper)"
        )
        assert "protocol" not in audited(steps={"weights": [*FIT, 10]}, **PAPER)[0].evidence


def test_classes_absent_from_a_part():
    assert audited(
        parts={"validation": [6, 8], "test": [11, 13]}, steps={"stopping": [6], "calibration": [6]}
    ) == [
        Finding("caution", "classes absent", "validation has no sample of 1 class of 2: 'B'"),
        Finding("caution", "classes absent", "test has no sample of 1 class of 2: 'A'"),
    ]


def test_tuned_on_another_removal_or_on_another_fraction_as_the_paper_did():
    [finding] = audited(tuning=TUNED, names={"signal_removal": "erase", "protocol": "sound"})
    assert (finding.severity, finding.check) == ("caution", "tuned on another removal")
    assert (
        finding.evidence
        == "hyperparameters were chosen with signal_removal=none at fraction 1.0 and used with"
        " signal_removal=erase at fraction 1.0"
    )
    [finding] = audited(tuning=TUNED, fraction=0.1, **PAPER)
    assert finding.evidence.endswith(
        "signal_removal=none at fraction 0.1 (a choice of protocol=paper)"
    )


def test_split_removal_is_noted_as_oracle():
    [finding] = audited(**SPLIT)
    assert finding.evidence.startswith(
        "oracle labels: signal was removed from each part with the part's own labels"
    )


class TestRecordChanged:
    def test_other_rows_than_the_record_names(self):
        record, row_usage = a_fit()
        row_usage.step("stopping", np.array([14]))
        evidence = (
            "the record's hash of sample ids does not fit the row usage log and the manifest: step"
            " stopping"
        )
        assert audit_fit(record, row_usage, SHEET) == [Finding("leak", "record changed", evidence)]

    def test_other_samples_on_the_sheet(self):
        record, row_usage = a_fit()
        ids = IDS.copy()
        ids[[0, 15]] = ids[[15, 0]]
        [finding] = audit_fit(record, row_usage, replace(SHEET, sample_ids=ids))
        assert finding.evidence.endswith(
            "part train, step preparation, step class weights, … (4 in all)"
        )
        short = SampleManifest(
            ids[:9], *(np.zeros(9, dtype=np.int64),) * 2, ["A", "B"], *(np.full(9, -1),) * 2
        )
        [finding] = audit_fit(record, row_usage, short)
        assert finding == Finding(
            "leak", "record changed", "the row usage log is over 16 samples, the manifest over 9"
        )

    def test_other_counts(self):
        [finding] = audited(counts={"n_train": 6, "n_validation": 4, "n_test": 5})
        assert finding == Finding(
            "leak", "record changed", "the record counts 5 test samples, the row usage log 4"
        )

    def test_predictions_of_other_samples(self):
        record, row_usage = a_fit()
        assert audit_fit(record, row_usage, SHEET, PREDICTIONS) == []
        assert audit_fit(
            record, row_usage, SHEET, PREDICTIONS | {"sample_id": IDS[[10, 11, 0, 1]]}
        ) == [
            Finding(
                "leak",
                "record changed",
                "2 predictions of samples that are not in test, e.g. s0, s1",
            )
        ]

    def test_labels_scores_or_accuracy_that_were_changed(self):
        record, row_usage = a_fit()
        other = PREDICTIONS | {
            "code": 1 - PREDICTIONS["code"],
            "scores": PREDICTIONS["scores"][:, ::-1],
        }
        [labels] = audit_fit(record, row_usage, SHEET, other)
        assert labels.evidence.startswith(
            "4 predictions with another label than the sample's, e.g. "
        )
        [scores] = audit_fit(record, row_usage, SHEET, PREDICTIONS | {"scores": np.zeros((4, 2))})
        assert (
            scores.evidence
            == "the record's balanced accuracy is 1.0, that of its stored scores 0.500000"
        )
        [accuracy] = audit_fit(
            record | {"metrics": {"balanced_accuracy": 0.999}}, row_usage, SHEET, PREDICTIONS
        )
        assert (accuracy.severity, accuracy.check) == ("leak", "record changed")


def test_what_must_be_there_and_is_not_written_down():
    row_usage = row_usage_of({"train": FIT}, {})
    missing = (
        "the row usage log has no rows of part test, step weights, step preparation: not all could"
        " be checked"
    )
    found = audit_fit(record_of(row_usage), row_usage, SHEET)
    assert found == [Finding("caution", "not written down", missing)]
    [finding] = audit_fit(record_of(row_usage, config={"scale": "none"}), row_usage, SHEET)
    assert finding.evidence.startswith("the row usage log has no rows of part test, step weights:")
    [finding] = audited(
        parts={"train": [*FIT, 14]}, steps={"preparation": [14], "class weights": [14]}
    )
    assert finding == Finding("caution", "not written down", "weights saw 6 of 7 train samples")


def test_findings_of_many_fits_in_one_line_each():
    one, two = (Finding("leak", "groups straddle", f"share {n} groups") for n in (1, 2))
    note = Finding("note", "removal=split", "oracle labels")
    assert summarise([[note, one, two], [note], [note, two]]) == [
        "leak     groups straddle  (2 of 3 fits)  e.g. share 1 groups",
        "note     removal=split  (3 of 3 fits)  oracle labels",
    ]
    assert clean_line(1).startswith(
        "audit: no leak found in 1 fit (groups, duplicates, fitted steps, "
    )
