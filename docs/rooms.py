"""Writes docs/rooms.md: what each room of the package is for, and one line a file.

    python docs/rooms.py

Both come from the files' own docstrings, so the page is as true as they are; a test compares them.
"""

import ast
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "src/beyondlinear"
# the layers of the contract of imports, without the door
CONTRACTS = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["tool"]["importlinter"]
ROOMS = [layer for layer in CONTRACTS["contracts"][0]["layers"] if layer != "cli"]
OPENING = """\
# The rooms

The package is nine rooms. Imports run down this list and never up, and no two files import each
other; `make lint` checks both (`[tool.importlinter]` in `pyproject.toml`). Above the rooms stand
the doors: `train.py` and `cli.py` compose a config and call one function each. Whoever has read
`experiment/run.py` and `experiment/fit.py` knows the whole path of a run; [the path of a
run](path_of_a_run.md) lists the files that one fit goes through.

This page is written by `python docs/rooms.py` from the files' docstrings.
"""


def docstring(path: Path) -> str:
    """First paragraph of a file's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(text.split("\n\n")[0].split())


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a word, without it."""
    return text.split(". ")[0].rstrip(".")


def room(name: str) -> list[str]:
    """The lines of one room: what it is for, and a table of its files."""
    folder = PACKAGE / name
    lines = [f"## {name}/", "", docstring(folder / "__init__.py"), ""]
    lines += ["| file | what it is for |", "|---|---|"]
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        if inside.name == "__init__.py" and len(inside.parts) == 1:
            continue
        shown = inside.parent if inside.name == "__init__.py" else inside
        purpose = first_sentence(docstring(path)).replace("|", "\\|")
        slash = "/" if inside.name == "__init__.py" else ""
        lines.append(f"| `{shown}{slash}` | {purpose} |")
    return lines


def page() -> str:
    lines = [OPENING]
    for name in ROOMS:
        lines += [*room(name), ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    (HERE / "rooms.md").write_text(page())
