"""A program that runs with the dependencies of the package alone, whatever else is installed: ``python lean.py``.

Prints the modules of the package that cannot be imported then, each with what it lacks, and exports a function.
"""

import importlib
import importlib.abc
import importlib.metadata
import pathlib
import pkgutil
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).parents[2]


def names(requirements) -> set[str]:
    """Distributions that are required without an extra, normalised."""
    plain = (text for text in requirements or () if "extra ==" not in text)
    return {re.split(r"[^A-Za-z0-9_.-]", text)[0].lower().replace("_", "-") for text in plain}


def closure(wanted: set[str]) -> set[str]:
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        found.add(name)
        try:
            wanted |= names(importlib.metadata.requires(name)) - found
        except importlib.metadata.PackageNotFoundError:
            continue  # for other systems or Pythons
    return found


class Refuse(importlib.abc.MetaPathFinder):
    """Hides the modules of distributions that are not ``allowed``."""

    def __init__(self, allowed: set[str]):
        owners = importlib.metadata.packages_distributions()
        self.hidden = {
            module
            for module, owned in owners.items()
            if not {name.lower().replace("_", "-") for name in owned} & allowed
        }

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.hidden - {"fusion_dfd", "google"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    sys.meta_path.insert(0, Refuse(closure(names(project["dependencies"]) | {"fusion-dfd"})))
    sys.path.insert(0, str(ROOT))
    import fusion_dfd

    for module in pkgutil.walk_packages(fusion_dfd.__path__, "fusion_dfd."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            print(module.name.removeprefix("fusion_dfd."), error.name)
    import jax
    from jax import export

    export.export(jax.jit(lambda x: x + 1))(jax.ShapeDtypeStruct((2,), "float32")).serialize()
    print("exported")
