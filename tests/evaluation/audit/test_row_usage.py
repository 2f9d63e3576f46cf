import hashlib

import numpy as np
import pytest
from made_up import make_samples

from beyondlinear.evaluation.audit.row_usage import (
    RowUsageLog,
    SampleManifest,
    hash_of,
    make_manifest,
    manifest_path,
    read_manifest,
)
from beyondlinear.runtime.errors import ResultsError

IDS = np.array([f"s{i}" for i in range(10)])


def row_usage() -> RowUsageLog:
    made = RowUsageLog(10)
    made.part("train", np.array([4, 0, 1]))
    made.part("validation", np.array([], dtype=np.int64))
    made.part("test", np.array([4, 9]))
    made.step("weights", np.array([0, 1]))
    made.step("weights", np.array([1, 4]))
    return made


class TestRowUsageLog:
    def test_a_row_given_to_two_parts_stays_in_both(self):
        assert row_usage().rows("part", "train").tolist() == [0, 1, 4]
        assert row_usage().rows("part", "test").tolist() == [4, 9]

    def test_a_step_keeps_the_union_of_what_it_saw(self):
        assert row_usage().rows("step", "weights").tolist() == [0, 1, 4]

    def test_an_empty_part_is_written_down_and_a_missing_one_is_not(self):
        assert row_usage().names("part") == ["train", "validation", "test"]
        assert row_usage().rows("part", "validation").tolist() == []
        assert row_usage().rows("part", "pretraining train").tolist() == []

    def test_where_rows_lie(self):
        assert row_usage().parts_of(np.array([0, 4, 5, 6])) == {"train": 2, "test": 1, "unused": 2}

    def test_its_arrays_are_bits_and_give_it_back(self):
        arrays = row_usage().arrays()
        assert arrays["row_usage_names"].tolist() == [
            "part:train",
            "part:validation",
            "part:test",
            "step:weights",
        ]
        # rows 0, 1, 4 → 1100 1000 = 200; row 9 is the second bit of the second byte → 0100 0000 =
        # 64
        assert arrays["row_usage_rows"].dtype == np.uint8
        assert arrays["row_usage_rows"].tolist() == [[200, 0], [0, 0], [8, 64], [200, 0]]
        again = RowUsageLog.from_arrays(arrays, 10)
        assert again is not None
        assert again.summary(IDS) == row_usage().summary(IDS)

    def test_arrays_without_a_log_and_of_another_size(self):
        assert RowUsageLog.from_arrays({"scores": np.zeros(3)}, 10) is None
        with pytest.raises(
            ResultsError, match=r"shape \(4, 2\) is not one of 4 parts and steps over 20 samples"
        ):
            RowUsageLog.from_arrays(row_usage().arrays(), 20)
        assert RowUsageLog.from_arrays(RowUsageLog(10).arrays(), 10).names("part") == []

    @pytest.mark.parametrize("rows", [np.array([-1, 2]), np.array([10]), np.ones(10, dtype=bool)])
    def test_what_is_not_a_position_is_refused(self, rows):
        with pytest.raises(ValueError, match=r"part train: .* are not positions in 10 samples"):
            RowUsageLog(10).part("train", rows)

    def test_a_name_that_no_check_reads_is_refused(self):
        with pytest.raises(
            ValueError, match="'held out' is no part that the audit knows: train, validation, test"
        ):
            RowUsageLog(10).part("held out", np.array([0]))
        with pytest.raises(
            ValueError, match="'scaling' is no step that the audit knows: preparation"
        ):
            RowUsageLog(10).step("scaling", np.array([0]))

    def test_the_summary_hashes_sorted_ids(self):
        expected = hashlib.sha256(b"s0\0s1\0s4").hexdigest()
        summary = row_usage().summary(IDS)
        assert summary["parts"]["train"] == {"n": 3, "ids": expected}
        assert summary["steps"] == {"weights": {"n": 3, "ids": expected}}
        assert summary["parts"]["validation"] == {"n": 0, "ids": hashlib.sha256(b"").hexdigest()}
        assert hash_of(np.array(["s4", "s0", "s1"])) == expected

    def test_differences_are_named_whichever_side_has_more(self):
        summary = row_usage().summary(IDS)
        assert row_usage().differences(summary, IDS) == []
        assert row_usage().differences(summary, IDS[::-1]) == [
            "part train",
            "part test",
            "step weights",
        ]
        del summary["parts"]["validation"]
        summary["steps"]["stopping"] = {"n": 1, "ids": "0"}
        assert row_usage().differences(summary, IDS) == ["part validation", "step stopping"]


class TestSheet:
    def test_it_says_who_the_samples_are_and_comes_back_from_its_file(self, tmp_path):
        x = np.random.default_rng(0).standard_normal((6, 30), dtype=np.float32)
        x[5] = x[0]
        manifest = make_manifest(make_samples(list("ABABAB"), groups=[7, 7, 8, 8, 9, 9], x=x))
        path = manifest_path(tmp_path, "f00d")
        assert path == tmp_path / "samples" / "f00d.npz"
        manifest.write(path)
        again = read_manifest(path)
        assert again.sample_ids.tolist() == ["s0", "s1", "s2", "s3", "s4", "s5"]
        assert again.groups.tolist() == [0, 0, 1, 1, 2, 2]
        assert again.codes.tolist() == [0, 1, 0, 1, 0, 1]
        assert again.classes == ["A", "B"]
        assert again.exact.tolist() == [0, -1, -1, -1, -1, 0]
        assert again.near.tolist() == [-1] * 6
        assert {again.groups.dtype, again.codes.dtype, again.exact.dtype, again.near.dtype} == {
            np.dtype(np.int64)
        }
        assert [p.name for p in path.parent.iterdir()] == ["f00d.npz"]

    def test_a_missing_damaged_or_foreign_file_is_named(self, tmp_path):
        with pytest.raises(ResultsError, match="none.npz is not a readable manifest of samples"):
            read_manifest(tmp_path / "none.npz")
        make_manifest(make_samples(list("ABAB"))).write(tmp_path / "cut.npz")
        (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:200])
        with pytest.raises(ResultsError, match="cut.npz is not a readable manifest of samples"):
            read_manifest(tmp_path / "cut.npz")
        np.savez(tmp_path / "scores.npz", scores=np.zeros(3))
        with pytest.raises(ResultsError, match="scores.npz is not a readable manifest of samples"):
            read_manifest(tmp_path / "scores.npz")

    def test_columns_of_different_length_are_refused(self, tmp_path):
        numbers = np.zeros(4, dtype=np.int64)
        SampleManifest(IDS[:3], numbers, numbers, ["A", "B"], numbers, numbers).write(
            tmp_path / "uneven.npz"
        )
        with pytest.raises(
            ResultsError, match=r"columns differ in length \(\{'sample_ids': 3, 'groups': 4"
        ):
            read_manifest(tmp_path / "uneven.npz")
