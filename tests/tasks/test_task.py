import anndata as ad
import numpy as np
import pandas as pd
import pytest

from beyondlinear.runtime.errors import DataError
from beyondlinear.tasks.task import Task


def dataset(labels: list, **columns: list) -> ad.AnnData:
    n = len(labels)
    obs = pd.DataFrame({"tissue": labels, **columns}, index=[f"s{i}" for i in range(n)])
    return ad.AnnData(np.arange(2 * n, dtype=np.float32).reshape(n, 2), obs=obs)


LABELS = ["Brain", "Skin", None, "Brain", "Blood", "Skin", "", "Brain"]


def test_classes_are_sorted_and_samples_without_a_label_are_dropped_and_counted():
    samples = Task("tissue").select(dataset(LABELS), np.arange(8))
    assert samples.classes == ["Blood", "Brain", "Skin"]
    assert samples.codes.tolist() == [1, 2, 1, 0, 2, 1]
    assert samples.sample_ids.tolist() == ["s0", "s1", "s3", "s4", "s5", "s7"]
    assert samples.dropped == {"without tissue": 2}
    assert samples.x[2].tolist() == [6.0, 7.0]


def test_a_list_of_classes_keeps_those_and_counts_the_others():
    samples = Task("tissue", classes=["Skin", "Brain"]).select(dataset(LABELS), np.arange(8))
    assert samples.classes == ["Brain", "Skin"]
    assert samples.dropped == {"without tissue": 2, "of other classes": 1}


def test_top_keeps_the_commonest_and_breaks_ties_by_name():
    assert Task("tissue", classes={"top": 2}).select(dataset(LABELS), np.arange(8)).classes == [
        "Brain",
        "Skin",
    ]
    tied = dataset(["b", "c", "a", "c", "b", "a"])
    assert Task("tissue", classes={"top": 2}).select(tied, np.arange(6)).classes == ["a", "b"]


def test_classes_in_few_groups_are_dropped():
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3])  # Brain in 0, 1, 3; Skin in 0, 2; Blood in 2
    samples = Task("tissue", min_groups_per_class=2).select(dataset(LABELS), groups)
    assert samples.classes == ["Brain", "Skin"]
    assert samples.dropped["of classes in fewer than 2 groups"] == 1


def test_a_whole_number_column_with_gaps_keeps_its_words():
    samples = Task("tissue", classes=[0, 1]).select(dataset([0, 1, np.nan, 1]), np.arange(4))
    assert samples.classes == ["0", "1"]


def test_a_matrix_kept_whole_is_not_copied():
    adata = dataset(["a", "b", "a"])
    assert np.shares_memory(Task("tissue").select(adata, np.arange(3)).x, adata.X)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (Task("tisue"), ["'tisue' is not a column", "did you mean 'tissue'"]),
        (
            Task("tissue", classes=["Brian", "Skin"]),
            ["'Brian' is not a class", "did you mean 'Brain'"],
        ),
        (Task("tissue", classes=["Brain"]), ["leaves 1 class (Brain) of 3", "at least two"]),
        (Task("tissue", classes={"top": 9}), ["more than the 3 classes"]),
        (Task("tissue", classes={"bottom": 2}), ["{top: k}"]),
        (Task("tissue", min_groups_per_class=9), ["leaves 0 classes"]),
    ],
)
def test_errors_name_the_value_and_the_choices(task, words):
    with pytest.raises(DataError) as error:
        task.select(dataset(LABELS), np.arange(8))
    assert all(w in str(error.value) for w in words)


def test_a_number_per_sample_is_no_class_label():
    with pytest.raises(DataError, match="80 distinct values over 80 samples"):
        Task("tissue").select(dataset([float(i) / 7 for i in range(80)]), np.arange(80))


def test_the_fingerprint_sees_values_labels_and_groups():
    adata = dataset(LABELS)
    base = Task("tissue").select(adata, np.arange(8)).fingerprint()
    assert Task("tissue").select(adata, np.arange(8)).fingerprint() == base
    assert Task("tissue").select(adata, np.zeros(8, dtype=int)).fingerprint() != base
    assert (
        Task("tissue").select(dataset([*LABELS[:-1], "Skin"]), np.arange(8)).fingerprint() != base
    )
    adata.X[0, 0] += 1e-6
    adata.X[0, 0] += 1
    assert Task("tissue").select(adata, np.arange(8)).fingerprint() != base
