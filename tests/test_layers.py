"""The house has one staircase: a module imports from its own layer and from those above it, never from below."""

import ast
import pathlib
import re

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "fusion_dfd"
LAYERS = [
    "types", "atomic", "terminal", "process_pool", "cache", "options", "config", "weights", "datasets", "synthetic",
    "faces", "shards", "input",
    "backbones", "models", "evaluation", "reports", "quality", "training", "runs", "export", "predict", "explain",
    "configs", "serve", "commands", "cli",
]  # fmt: skip
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def layer(dotted: str) -> str:
    return dotted.split(".")[1]


def imports(path: pathlib.Path) -> list[str]:
    """Dotted names of the package's modules that a file imports, wherever in the file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            from_package = node.module == "fusion_dfd"
            found += [f"fusion_dfd.{name.name}" for name in node.names] if from_package else [node.module]
    return [name for name in found if name.startswith("fusion_dfd.") and layer(name) != "__version__"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_up_the_layers(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert own in LAYERS, f"{own} is in no layer: give it a place in LAYERS and in docs/DESIGN.md"
    below = [name for name in imports(path) if LAYERS.index(layer(name)) > LAYERS.index(own)]
    assert not below


def test_core_imports_no_optional_framework():
    for path in MODULES:
        tree = ast.parse(path.read_text())
        names = {
            name.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
        }
        names |= {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not names & {"tensorflow", "torch", "keras", "mtcnn", "retinaface", "tensorflow_datasets"}, path
        first = {name.name.split(".")[0] for node in tree.body if isinstance(node, ast.Import) for name in node.names}
        assert not first & {"h5py", "huggingface_hub", "onnx", "onnxruntime"}, f"{path}: import where it is needed"


def test_the_web_framework_stays_in_its_layer():
    for path in MODULES:
        if path.parent.name != "serve":
            assert not re.search(r"(import|from) (fastapi|starlette|uvicorn|pydantic)", path.read_text()), path


def test_no_file_is_a_drawer():
    assert not [path for path in MODULES if path.stem in {"utils", "util", "helpers", "common", "misc"}]


def test_scripts_are_thin():
    for path in (PACKAGE.parent / "scripts").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 6, path.name
