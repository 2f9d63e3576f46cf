"""The names that a room shows the others, imported when they are first asked for.

A room's face names a few of its functions and classes. Importing all of them at once would load
torch and Lightning for whoever wants a light one (PEP 562 describes the mechanism).
"""

from collections.abc import Callable, Mapping
from importlib import import_module


def lazy_exports(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], object], list[str]]:
    """A package's `__getattr__` and `__all__`.

    :param package: its `__name__`
    :param modules: exported name → module of the package that defines it, e.g. "networks"
    """

    def get(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return get, sorted(modules)
