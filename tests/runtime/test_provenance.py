import platform

import numpy as np

from beyondlinear.runtime.provenance import provenance


def test_versions_and_machine_are_those_of_this_process():
    found = provenance()
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["numpy"] == np.__version__
    assert found["host"] == platform.node()
    assert found["commit"] is None or len(found["commit"]) == 40


def test_it_is_asked_for_once_a_process():
    assert provenance() is provenance()
