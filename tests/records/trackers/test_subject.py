import importlib.util

import pytest

from beyondlinear.records.trackers.subject import require
from beyondlinear.runtime.errors import ConfigError


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="logger=mine needs the package they.*install 'they>=2'"):
        require("they", "they>=2", "mine")


def test_one_that_is_installed_is_not():
    require("json", "json", "mine")
