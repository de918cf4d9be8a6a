"""Configuration of Sphinx: that of Astropy's packages, and what crstack adds."""

import sys
from importlib.metadata import metadata
from pathlib import Path

from sphinx_astropy.conf.v3 import *  # noqa: F403
from sphinx_astropy.conf.v3 import extensions

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

_about = metadata("crstack")
project = "crstack"
author = _about["Author"]
copyright = f"2026, {author}"
release = _about["Version"]
version = ".".join(release.split(".")[:2])

# these need a network or a package that is not used here
_unused = {
    "sphinxcontrib.jquery",
    "sphinx_astropy.ext.changelog_links",
    "sphinx_astropy.ext.generate_config",
    "sphinx_astropy.ext.intersphinx_toggle",
    "sphinx_astropy.ext.missing_static",
    "sphinx.ext.inheritance_diagram",
    "sphinx.ext.todo",
    "sphinx.ext.coverage",
    "matplotlib.sphinxext.plot_directive",
    "sphinx_automodapi.smart_resolver",
}
extensions = [
    *(name for name in extensions if name not in _unused),
    "sphinx_automodapi.smart_resolver",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "published",
    "short_names",
]

exclude_patterns = ["_ext", "_build", "_static", "_templates", "examples", "gallery_scripts"]
exclude_patterns += ["**/GALLERY_HEADER.rst", "**/sg_execution_times.rst", "sg_execution_times.rst"]
templates_path = ["_templates"]
suppress_warnings = ["config.cache"]

# references: every link must have a target. The inventories are kept here, so that a build needs no network.
nitpicky = True
_inventories = HERE / "inventories"
intersphinx_mapping = {
    "python": ("https://docs.python.org/3/", str(_inventories / "python.inv")),
    "numpy": ("https://numpy.org/doc/stable/", str(_inventories / "numpy.inv")),
    "scipy": ("https://docs.scipy.org/doc/scipy/", str(_inventories / "scipy.inv")),
    "matplotlib": ("https://matplotlib.org/stable/", str(_inventories / "matplotlib.inv")),
    "astropy": ("https://docs.astropy.org/en/stable/", str(_inventories / "astropy.inv")),
    "photutils": ("https://photutils.readthedocs.io/en/stable/", str(_inventories / "photutils.inv")),
    "skimage": ("https://scikit-image.org/docs/stable/", str(_inventories / "skimage.inv")),
    "ccdproc": ("https://ccdproc.readthedocs.io/en/stable/", str(_inventories / "ccdproc.inv")),
}
_exceptions = (HERE / "nitpick_exceptions.txt").read_text().splitlines()
nitpick_ignore_regex = [tuple(line.split(maxsplit=1)) for line in _exceptions if line and not line.startswith("#")]

# classes have their members listed by automodapi
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
automodapi_inheritance_diagram = False
automodsumm_properties_are_attributes = False
automodapi_toctreedirnm = "reference/api"
autodoc_typehints = "none"
autoclass_content = "class"
toc_object_entries_show_parents = "hide"

sphinx_gallery_conf = {
    "examples_dirs": ["gallery_scripts"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"/plot_",
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 5,
    "within_subsection_order": "FileNameSortKey",
    "reset_modules": ("matplotlib", "gallery_style.set_style"),
}

html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"
html_title = f"crstack {version}"
html_theme_options = {
    "navigation_depth": 3,
    "show_nav_level": 1,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 8,
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}
# sections of one page have no menu of their own
html_sidebars = {"index": [], "real/index": [], "numina/index": []}
html_static_path = ["_static"]
html_css_files = ["crstack.css"]
html_copy_source = False
html_show_sourcelink = False


def _documented_bases(app, name, obj, options, bases):
    """Parts of a public class are no bases of their own; their methods are listed with those of the class."""
    bases[:] = [object if getattr(one, "__module__", "").startswith("crstack.stages.") else one for one in bases]


def setup(app):
    """Connect what Sphinx calls."""
    app.connect("autodoc-process-bases", _documented_bases)
