"""Sphinx: ``make docs`` writes ``build/docs/index.html``; the API pages come from the docstrings."""

from fusion_dfd import __version__

project = "fusion_dfd"
release = __version__
copyright = "the authors of fusion_dfd, Apache-2.0"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.apidoc", "sphinx.ext.viewcode"]
exclude_patterns = ["api/modules.rst"]

html_theme = "furo"
html_title = f"{project} {release}"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
# Pages also point to files of the checkout; fields of several classes share a name.
suppress_warnings = ["myst.xref_missing", "ref.python"]
nb_execution_mode = "off"  # it is committed executed; tests run it

apidoc_modules = [{"path": "../fusion_dfd", "destination": "api", "separate_modules": False}]
autodoc_mock_imports = ["apache_beam"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": True}
add_module_names = False
