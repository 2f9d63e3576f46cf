"""The path of a run: the files of the package that one fit goes through, in the order of entry.

    python benchmarks/path.py [five_layer] [--functions] [KEY=VALUE …]
    python benchmarks/path.py --write docs/path_of_a_run.md
    PYTHONPATH=/path/to/another/clone/src python benchmarks/path.py five_layer

One fit (fold 0 of a simulation of 60 samples × 10 genes, two epochs) is made in this process by
`train.py` itself, watched by `sys.setprofile`. What only happens while a file is imported is not
counted. Compiled functions run as Python here (NUMBA_DISABLE_JIT), since a compiled call leaves no
trace. The package is that of the PYTHONPATH, or this clone's.

A *call back up* enters a file that is already waiting further down the stack, through another file:
a.py → b.py → a.py. A *call from below* enters a file from a room that the contract of imports
(pyproject.toml) places lower; a package without these rooms has none. Calls by runtime/ are no
calls from below: it builds what a config names.
"""

import argparse
import ast
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import CodeType, FrameType

from rich.console import Console
from rich.table import Table

os.environ["NUMBA_DISABLE_JIT"] = "1"  # before numba is imported

ROOT = Path(__file__).parent.parent
MODELS = ["five_layer", "logistic_regression", "ridge_logistic", "random_forest"]
TINY = [
    "dataset=simulated_mixed",
    "dataset.n_samples=60",
    "dataset.n_genes=10",
    "split.only_folds=[0]",
    "trainer.max_epochs=2",
    "trainer.threads=1",
    "results.store=records",
]
ROOMS = [
    "api",
    "report",
    "experiment",
    "evaluation",
    "records",
    "removal",
    "tasks",
    "models",
    "data",
    "runtime",
]
# what became runtime/, in the flat package of before
FLAT_RUNTIME = {"errors.py", "seeds.py", "config.py", "progress.py", "circumstances.py"}
COMPREHENSIONS = {"<listcomp>", "<genexpr>", "<setcomp>", "<dictcomp>"}
A_FUNCTION = 0x1  # CO_OPTIMIZED: bodies of modules and classes lack it


@dataclass
class VisitedFile:
    """A file of the package that the run entered."""

    name: str  # relative to the package
    purpose: str  # first sentence of its docstring
    functions: list[str] = field(default_factory=list)  # in the order of their first call
    entries: int = 0  # calls from another file
    called_back_by: list[str] = field(default_factory=list)
    called_from_below_by: list[str] = field(default_factory=list)


class Walk:
    """Watches the calls of a run; `files` is what it entered, in order."""

    def __init__(self, package: Path) -> None:
        self.package = str(package) + os.sep
        self.files: dict[str, VisitedFile] = {}

    def name_of(self, code: CodeType) -> str | None:
        """File of the package that this code stands in, or None."""
        if not code.co_filename.startswith(self.package):
            return None
        return code.co_filename.removeprefix(self.package)

    def callers(self, frame: FrameType) -> Iterator[str]:
        """Files of the package that wait for this frame, the nearest first."""
        above = frame.f_back
        while above is not None:
            name = self.name_of(above.f_code)
            if name is not None:
                yield name
            above = above.f_back

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or not code.co_flags & A_FUNCTION or code.co_name in COMPREHENSIONS:
            return
        name = self.name_of(code)
        if name is None or self._importing(frame):
            return
        if name not in self.files:
            self.files[name] = VisitedFile(name, purpose_of(Path(self.package) / name))
        file = self.files[name]
        if code.co_qualname not in file.functions:
            file.functions.append(code.co_qualname)
        callers = list(self.callers(frame))
        if not callers or callers[0] == name:
            return
        file.entries += 1
        if name in callers and callers[0] not in file.called_back_by:
            file.called_back_by.append(callers[0])
        if is_below(callers[0], name) and callers[0] not in file.called_from_below_by:
            file.called_from_below_by.append(callers[0])

    def _importing(self, frame: FrameType) -> bool:
        above: FrameType | None = frame
        while above is not None:
            if above.f_code.co_name == "<module>" and self.name_of(above.f_code) is not None:
                return True
            above = above.f_back
        return False


def purpose_of(path: Path) -> str:
    """First sentence of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    first = " ".join(text.split("\n\n")[0].split())
    return first.split(". ")[0].rstrip(".")


def room_of(name: str) -> str:
    """Room of a file: the folder, or the file's own name at the top of the package."""
    return name.split("/")[0].removesuffix(".py")


def is_below(caller: str, called: str) -> bool:
    """Whether the caller's room lies below that of the file it calls."""
    rooms = [room_of(caller), room_of(called)]
    if not all(room in ROOMS for room in rooms) or in_runtime(caller):
        return False
    return ROOMS.index(rooms[0]) > ROOMS.index(rooms[1])


def in_runtime(name: str) -> bool:
    return name.startswith("runtime/") or name in FLAT_RUNTIME


def walk(model: str, overrides: list[str]) -> list[VisitedFile]:
    """Make one fit in this process, in an empty folder, and say what it went through."""
    import beyondlinear

    package = Path(beyondlinear.__file__).parent
    train = package.parents[1] / "train.py"
    watch = Walk(package)
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        sys.argv = [str(train), f"model={model}", *TINY, *overrides]
        out = os.dup(1)
        os.dup2(2, 1)  # the run's own table is not what was asked for
        threading.setprofile(watch)
        sys.setprofile(watch)
        try:
            runpy.run_path(str(train), run_name="__main__")
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]
            sys.stdout.flush()
            os.dup2(out, 1)
            os.chdir(here)
    return list(watch.files.values())


def totals(files: list[VisitedFile]) -> dict[str, int]:
    """The numbers that are compared: all but runtime/."""
    counted = [file for file in files if not in_runtime(file.name)]
    return {
        "files": len(counted),
        "functions": sum(len(file.functions) for file in counted),
        "files called back": sum(bool(file.called_back_by) for file in counted),
        "files called from below": sum(bool(file.called_from_below_by) for file in counted),
    }


def sentence(files: list[VisitedFile]) -> str:
    n = totals(files)
    return (
        f"{n['files']} files outside runtime/ ({len(files)} with it), {n['functions']} functions;"
        f" {n['files called back']} files are called back by a file further down the stack,"
        f" {n['files called from below']} are called from a lower room"
    )


def show(model: str, files: list[VisitedFile], functions: bool) -> None:
    table = Table(title=f"one fit of {model}", header_style="bold")
    table.add_column("", justify="right")
    table.add_column("file", no_wrap=True)
    table.add_column("functions" if functions else "functions that ran", overflow="fold")
    table.add_column("entries", justify="right")
    table.add_column("called back by / from below", overflow="fold")
    for number, file in enumerate(files, 1):
        ran = ", ".join(file.functions) if functions else str(len(file.functions))
        back = dict.fromkeys([*file.called_back_by, *file.called_from_below_by])
        table.add_row(str(number), file.name, ran, str(file.entries), ", ".join(back))
    console = Console(width=150)
    console.print(table)
    console.print(f"{model}: {sentence(files)}", highlight=False)


def in_a_process(model: str) -> list[VisitedFile]:
    """What `walk` finds in a process of its own: a second run in one process imports nothing."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "path.json"
        command = [sys.executable, __file__, model, "--json", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return [VisitedFile(**row) for row in json.loads(out.read_text())["files"]]


def markdown(paths: dict[str, list[VisitedFile]]) -> str:
    """The counts of all models, then the list of the first."""
    lines = [
        "| model | files outside `runtime/` | functions | files called back | from a lower room |",
        "|---|---:|---:|---:|---:|",
    ]
    for model, files in paths.items():
        lines.append(f"| `{model}` | " + " | ".join(map(str, totals(files).values())) + " |")
    first, files = next(iter(paths.items()))
    lines += ["", f"One fit of `{first}`, files in the order of entry:", ""]
    lines += ["| | file | what it is for | functions that ran |", "|---:|---|---|---|"]
    for number, file in enumerate(files, 1):
        ran = ", ".join(f"`{name.replace('.<locals>', '')}`" for name in file.functions)
        lines.append(f"| {number} | `{file.name}` | {file.purpose} | {ran} |")
    return "\n".join(lines)


def write(path: Path) -> None:
    """Put the lists between the two marks of a page, which stay."""
    start, end = "<!-- path -->", "<!-- /path -->"
    before, _, rest = path.read_text().partition(start)
    after = rest.partition(end)[2]
    text = markdown({model: in_a_process(model) for model in MODELS})
    path.write_text(f"{before}{start}\n{text}\n{end}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="five_layer")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for train.py")
    parser.add_argument("--functions", action="store_true", help="name the functions that ran")
    parser.add_argument("--json", metavar="FILE", help="write the list as JSON")
    parser.add_argument("--write", metavar="FILE.md", help="bring this page's lists up to date")
    given = parser.parse_args()
    if given.write:
        write(Path(given.write))
        return
    json_path = Path(given.json).absolute() if given.json else None
    files = walk(given.model, given.overrides)
    show(given.model, files, given.functions)
    if json_path:
        rows = [asdict(file) for file in files]
        json_path.write_text(json.dumps({"model": given.model, **totals(files), "files": rows}))


if __name__ == "__main__":
    main()
