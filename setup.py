"""A wheel carries conf/ as `beyondlinear/conf`; everything else about the package is said in
pyproject.toml.

Setuptools' `package-dir` could say this too, but every package would have to be listed by hand, and
an editable install would go through an import hook.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConf(build_py):
    """Copies the modules, then conf/ beside them."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # a clone reads its own conf/
            inside = Path(self.build_lib) / "beyondlinear" / "conf"
            shutil.rmtree(inside, ignore_errors=True)
            shutil.copytree("conf", inside)


setup(cmdclass={"build_py": BuildWithConf})
