"""Write the inventories of packages whose whole one is not kept here: ``python docs/inventories/make_small.py``.

Each lists only what these pages refer to, with the address on the package's site. Run it after a name is added.
"""

import zlib
from pathlib import Path

HERE = Path(__file__).parent
CLASS, FUNCTION = "py:class", "py:function"

#: by package: name, kind and page; "$" stands for the name, as in Sphinx
NAMES = {
    "numpy": [
        ("numpy.ndarray", CLASS, "reference/generated/numpy.ndarray.html#$"),
        ("numpy.memmap", CLASS, "reference/generated/numpy.memmap.html#$"),
        ("numpy.random.Generator", CLASS, "reference/random/generator.html#$"),
        ("numpy.random.default_rng", FUNCTION, "reference/random/generator.html#$"),
        ("numpy.dtype", CLASS, "reference/generated/numpy.dtype.html#$"),
    ],
    "matplotlib": [
        ("matplotlib.figure.Figure", CLASS, "api/_as_gen/matplotlib.figure.Figure.html#$"),
        ("matplotlib.axes.Axes", CLASS, "api/_as_gen/matplotlib.axes.Axes.html#$"),
        ("matplotlib.lines.Line2D", CLASS, "api/_as_gen/matplotlib.lines.Line2D.html#$"),
        ("matplotlib.image.AxesImage", CLASS, "api/image_api.html#$"),
    ],
    "photutils": [
        (
            "photutils.segmentation.SegmentationImage",
            CLASS,
            "api/photutils.segmentation.SegmentationImage.html#$",
        ),
    ],
    "skimage": [
        ("skimage.registration.phase_cross_correlation", FUNCTION, "api/skimage.registration.html#$"),
    ],
    "ccdproc": [
        ("ccdproc.Combiner", CLASS, "api/ccdproc.Combiner.html#$"),
        ("ccdproc.ImageFileCollection", CLASS, "api/ccdproc.ImageFileCollection.html#$"),
        ("ccdproc.cosmicray_lacosmic", FUNCTION, "api/ccdproc.cosmicray_lacosmic.html#$"),
    ],
}


def inventory(project, names):
    """Bytes of a Sphinx inventory, version 2."""
    head = (
        f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n# The remainder is compressed using zlib.\n"
    )
    lines = "".join(f"{name} {kind} 1 {page} -\n" for name, kind, page in sorted(names))
    return head.encode() + zlib.compress(lines.encode(), 9)


if __name__ == "__main__":
    for project, names in NAMES.items():
        (HERE / f"{project}.inv").write_bytes(inventory(project, names))
