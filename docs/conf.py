"""Configuration of Sphinx."""

from importlib.metadata import metadata

_about = metadata("crstack")

project = "crstack"
author = _about["Author"]
copyright = f"2026, {author}"
release = _about["Version"]
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_automodapi.automodapi",
]

exclude_patterns = ["_build", "_static", "_templates"]
templates_path = ["_templates"]
default_role = "obj"

# classes have their members listed by automodapi
numpydoc_show_class_members = False
automodapi_inheritance_diagram = False
automodsumm_properties_are_attributes = False
autodoc_typehints = "none"

html_theme = "alabaster"
html_theme_options = {
    "description": _about["Summary"],
    "page_width": "1200px",
    "body_max_width": "none",
    "fixed_sidebar": True,
}
html_static_path = ["_static"]
html_css_files = ["crstack.css"]
html_copy_source = False
