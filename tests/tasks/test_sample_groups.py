import numpy as np
import pandas as pd
import pytest

from beyondlinear.runtime.errors import SplitError
from beyondlinear.tasks.sample_groups import connected_groups, group_name

OBS = pd.DataFrame(
    {"donor": ["d1", "d2", "d1;d3", "d3"], "plate": ["p1", "p2", "p3", "p4"]}, index=list("wxyz")
)


def test_samples_that_share_a_value_are_one_group():
    assert connected_groups(OBS, ["donor"]).tolist() == [0, 1, 0, 0]
    assert connected_groups(OBS, ["plate"]).tolist() == [0, 1, 2, 3]


def test_without_columns_each_sample_is_a_group():
    assert connected_groups(OBS, []).tolist() == [0, 1, 2, 3]


def test_a_sample_without_a_value():
    obs = OBS.assign(donor=["d1", None, "d1", " ; "])
    assert connected_groups(obs, ["donor"], on_missing="own_group").tolist() == [0, 1, 0, 2]
    needed = np.array([True, False, True, False])
    assert connected_groups(obs, ["donor"], needed).tolist() == [0, 1, 0, 2]
    with pytest.raises(SplitError, match=r"2 of 4 samples have no 'donor' \(e.g. x, z\)"):
        connected_groups(obs, ["donor"])


def test_the_name_of_a_group():
    assert group_name(OBS, "donor", np.array([False, True, False, False])) == "d2"
    of_group = np.array([True, False, True, True])
    assert group_name(OBS, ["donor", "plate"], of_group) == "d1 and 2 more"
