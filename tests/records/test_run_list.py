import pytest

from beyondlinear.records.run_list import read_run_list
from beyondlinear.runtime.errors import ResultsError
from beyondlinear.runtime.files import write_json

LISTING = {
    "store": "/records",
    "names": {"model": "five_layer", "signal_removal": "leace"},
    "seed": 3,
    "config": {"leak_probes": {"trees": 5}},
    "fits": [{"key": "ab12", "fold": 0, "fraction": 1.0, "pretrained": None}],
}


def test_a_list_of_today_comes_back_as_it_was(tmp_path):
    path = tmp_path / "fits_x.json"
    write_json(path, LISTING)
    assert read_run_list(path) == LISTING


def test_an_old_list_has_todays_names(tmp_path):
    path = tmp_path / "fits_x.json"
    old = {"names": {"signal_removal": "split"}, "config": {"meters": {"trees": 5}}}
    write_json(path, LISTING | old)
    run = read_run_list(path)
    assert run["names"] == {"signal_removal": "class_means"}
    assert run["config"] == {"leak_probes": {"trees": 5}}


@pytest.mark.parametrize("field", ["store", "names", "config", "fits"])
def test_a_list_without_a_field_is_named(tmp_path, field):
    path = tmp_path / "fits_x.json"
    write_json(path, {name: value for name, value in LISTING.items() if name != field})
    with pytest.raises(ResultsError, match=f"fits_x.json is not a readable record.*has {field}"):
        read_run_list(path)


def test_a_list_that_somebody_changed_is_named(tmp_path):
    path = tmp_path / "fits_x.json"
    write_json(path, LISTING | {"names": 3})
    with pytest.raises(ResultsError, match=r"fits_x.json is not a readable record"):
        read_run_list(path)
