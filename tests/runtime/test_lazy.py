"""A room's face: its names are there, and what they need is imported when they are asked for."""

import sys
from pathlib import Path

import pytest

from beyondlinear.runtime.lazy import lazy_exports


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of two modules, of which one cannot be imported."""
    folder = tmp_path / "a_room"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "light.py").write_text("ANSWER = 42\n")
    (folder / "heavy.py").write_text("raise ImportError('too heavy')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "a_room"
    for name in ("a_room", "a_room.light", "a_room.heavy"):
        sys.modules.pop(name, None)


def test_names_are_sorted(room):
    _, names = lazy_exports(room, {"b": "heavy", "ANSWER": "light"})
    assert names == ["ANSWER", "b"]


def test_a_module_is_imported_when_its_name_is_asked_for(room):
    get, _ = lazy_exports(room, {"b": "heavy", "ANSWER": "light"})
    assert "a_room.light" not in sys.modules
    assert get("ANSWER") == 42
    assert "a_room.light" in sys.modules
    with pytest.raises(ImportError, match="too heavy"):
        get("b")


def test_another_name_is_an_attribute_error(room):
    get, _ = lazy_exports(room, {"ANSWER": "light"})
    with pytest.raises(AttributeError, match="module 'a_room' has no attribute 'answer'"):
        get("answer")
