"""``crstack init``: a parameter file with keywords of the headers."""

from crstack._fits import image_extension, inherited_header, opened_fits
from crstack._log import log
from crstack.cli.template import TEMPLATE
from crstack.config.image_names import matching_images
from crstack.exceptions import InputError

__all__ = ["parameter_file"]

#: keywords of gain and read noise, in the order of the search
GAINS = ("GAIN", "EGAIN", "CCDGAIN", "GAIN1", "HIERARCH ESO DET OUT1 CONAD")
READNOISES = ("RDNOISE", "READNOIS", "READNOISE", "ENOISE", "RON", "RDNOISE1", "HIERARCH ESO DET OUT1 RON")
MISSING = "       # must be given: not in the headers"


def parameter_file(images):
    """Text of a commented parameter file.

    Parameters
    ----------
    images : sequence of str
        FITS files, or patterns.

    Returns
    -------
    text : str

    Raises
    ------
    InputError
        If the first file is not a FITS file with a 2-D image.
    """
    images = matching_images(list(images), ".")
    with opened_fits(images[0], "images", checksum=False) as hdus:
        hdu = image_extension(hdus, images[0])
        number = hdus.index_of(hdu)
        header = inherited_header(hdus, hdu)
    if any("\n" in name for name in images):
        raise InputError("images must have names of one line; got a line break")
    gain, rnoise = (_keyword(header, key, names, images[0]) for key, names in (("gain", GAINS), ("rnoise", READNOISES)))
    return TEMPLATE.format(
        images="\n".join(f"  - {_quoted(name)}" for name in images),
        extnum=number,
        gain=gain,
        rnoise=rnoise,
        bias="0.0",
        crmethod="joint",
    )


def _keyword(header, key, names, path):
    """The first of the keywords in the header, with its value as a comment; a warning if there is none."""
    for name in names:
        if name in header:
            name = name.removeprefix("HIERARCH ")
            return f"header:{name}  # {header[name]}, {header.comments[name] or 'no comment'};"
    words = ", ".join(name.removeprefix("HIERARCH ") for name in names)
    log.warning("%s must be filled in: the header of %s has none of %s", key, path, words)
    return MISSING


def _quoted(name):
    """A name as YAML, in quotes if necessary."""
    plain = all(letter.isalnum() or letter in "_./+-" for letter in name) and name[0] not in "-+."
    return name if plain else "'" + name.replace("'", "''") + "'"
