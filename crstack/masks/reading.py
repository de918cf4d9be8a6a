"""Masks from FITS files."""

import os
import re

import numpy as np
from astropy.io import fits

from crstack.exceptions import InputError
from crstack.exposures.input.headers import split_wcs
from crstack.files.fits_reading import BROKEN, array_in_parts
from crstack.files.headers import chip_hdus
from crstack.files.history import history_of
from crstack.masks.codes import Code, exposure_name
from crstack.masks.local_median import check_local_median, check_local_medians
from crstack.utils.memory import empty_image, kept, relax
from crstack.utils.validation import check_number
from crstack.utils.warn import warn_user

__all__ = ["arguments_from_file"]

#: the masks other than those of the exposures
OF_AVERAGES = ("MEDIANCR", "MEANCRT", "MEANCR")
#: the cleaned median, by its current name and by that of the early manual
CLEANED = ("AUXCLEAN", "LAMEDIAN")
#: extensions that are not masks
OTHERS = (*CLEANED, "SIGSHIFT", "SIGVAR", "EXCESS", "RPMEDIAN", "CODES", "DETECTORS")
#: each exposure has one mask, and with the joint decision one image of probabilities
OF_EXPOSURES = re.compile(r"(CRMASK|PROB)([1-9]\d*)")
#: fraction of masked pixels of an exposure that is not plausible
MANY = 0.2


def arguments_from_file(path, chip=None):
    """Arguments of a `~crstack.masks.MaskSet`, from its file: see `~crstack.masks.MaskSet.read`."""
    if not os.path.isfile(path):
        raise InputError(f"masks must be a FITS file that exists; got {path}")
    try:
        with fits.open(path, memmap=False) as hdus:
            return _MaskFile(chip_hdus(hdus, chip, path), path).arguments()
    except InputError:
        raise
    except BROKEN as error:
        raise InputError(f"masks must be a readable FITS file; got {path} ({error})") from error


def _kept(image):
    """An image, moved to a file where large arrays are kept in files."""
    return kept((image,))[0]


class _MaskFile:
    """An open file of masks: finds extensions by name, and checks them."""

    def __init__(self, hdus, path):
        self.path = path
        self.header = hdus[0].header
        self.hdus = {}
        unknown = []
        for hdu in hdus:
            if hdu.name in self.hdus:
                raise InputError(f"extensions of {path} must have different names; got two {hdu.name}")
            if hdu.name in OF_AVERAGES or hdu.name in OTHERS or OF_EXPOSURES.fullmatch(hdu.name):
                self.hdus[hdu.name] = hdu
            elif hdu is not hdus[0]:
                unknown.append(hdu.name or "one without a name")
        if not self.hdus:
            raise InputError(
                f"{path} must be a file of masks, with the extensions MEDIANCR, MEANCRT, CRMASK1... and MEANCR; "
                "got none of them"
            )
        if unknown:
            warn_user(f"extensions of {path} that are no masks are not used: {', '.join(unknown)}")
        self.n_exposures = self._number_of("CRMASK")
        self.names = tuple(name for name in self.hdus if name in OF_AVERAGES or name.startswith("CRMASK"))
        self.shape = self._array(self.names[0], dimensions=2).shape if self.names else ()

    def arguments(self):
        """Arguments of a `~crstack.masks.MaskSet`."""
        codes = self._codes()
        flux_factors = self._numbers_of_exposures("FLUXF", "flux factors")
        changed = self._edited(codes)
        cleaned = next((name for name in CLEANED if name in self.hdus), None)
        arguments = {
            "codes": codes,
            "auxclean": None if cleaned is None else self._image(cleaned, finite=False),
            "history": (*history_of(self.header), *changed),
            "probability": self._probability(),
            "signal_shift": self._image("SIGSHIFT"),
            "signal_variance": self._variance("SIGVAR"),
            "excess_variance": self._variance("EXCESS"),
            "wcs": split_wcs(self.hdus["MEDIANCR"].header)[1] if "MEDIANCR" in self.hdus else None,
            "uuid": str(self.header.get("UUID", "")),
            "local_medians": self._local_medians(),
            "flux_factors": flux_factors or (1.0,) * self.n_exposures,
            "throughputs": self._numbers_of_exposures("THRPUT", "throughputs"),
            "origin": self._origin(),
            **self._votes(codes),
        }
        if changed:
            self._follow_edits(arguments)
        return arguments

    def _number_of(self, kind):
        """Number of masks, or probabilities, of exposures: 1 to N, none missing."""
        numbers = {int(name[len(kind) :]) for name in self.hdus if name.startswith(kind)}
        missing = set(range(1, max(numbers, default=0))) - numbers
        if missing:
            raise InputError(f"{self.path} must hold {kind}1 to {kind}{max(numbers)}; got no {kind}{min(missing)}")
        return len(numbers)

    def _array(self, name, dimensions, finite=True):
        """The array of an extension, with the shape of the masks."""
        hdu = self.hdus[name]
        data = array_in_parts(hdu) if hdu.is_image else None
        if data is None or data.ndim != dimensions:
            found = "no image" if data is None else f"{data.ndim} dimensions"
            raise InputError(f"extension {name} of {self.path} must have {dimensions} dimensions; got {found}")
        if name != self.names[0] and data.shape[-2:] != self.shape:
            raise InputError(
                f"masks of {self.path} must share one shape; got {self.shape} for {self.names[0]} "
                f"and {data.shape[-2:]} for {name}"
            )
        if finite and not np.isfinite(data).all():
            number = np.count_nonzero(~np.isfinite(data))
            raise InputError(f"values of {name} in {self.path} must be finite; got {number} that are NaN or infinite")
        return data

    def _image(self, name, finite=True):
        """A float32 image, None where there is no such extension."""
        return _kept(np.array(self._array(name, 2, finite), dtype=np.float32)) if name in self.hdus else None

    def _codes(self):
        """Codes by name of the mask: the masked pixels from the masks, their methods from CODES."""
        codes = {
            name: _kept((self._array(name, 2) != 0).astype(np.uint8) * np.uint8(Code.GIVEN)) for name in self.names
        }
        for name, plane in self._planes("CODES").items():
            known = (codes[name] > 0) & (plane > 0) & (plane <= max(Code))
            codes[name][known] = plane[known]
        if "MEANCRT" in codes and "MEANCR" not in codes:
            # the program of the early manual made no MEANCR
            warn_user(f"{self.path} holds no MEANCR; nothing is masked in it")
            codes["MEANCR"] = np.zeros_like(codes["MEANCRT"])
        return codes

    def _planes(self, name):
        """Planes of a cube by name of their mask; none where they have no names."""
        if name not in self.hdus:
            return {}
        cube = self._array(name, 3)
        names = [str(self.hdus[name].header.get(f"PLANE{number}")) for number in range(1, len(cube) + 1)]
        unnamed = names.count("None")
        if unnamed:
            warn_user(f"{name} of {self.path} has {unnamed} planes without a name (PLANE1...); it is not used")
            return {}
        missing = [one for one in names if one not in self.names]
        if missing or len(set(names)) < len(names):
            raise InputError(
                f"{self.path} must hold the masks of the planes of {name}, {', '.join(names)}; "
                f"got {', '.join(self.names)}"
            )
        return dict(zip(names, cube, strict=True))

    def _edited(self, codes):
        """A line of history if the masks differ from CODES, which is also a warning; otherwise nothing."""
        planes = self._planes("CODES")
        differences = []
        for name, plane in planes.items():
            added = np.count_nonzero((codes[name] > 0) & (plane == 0))
            removed = np.count_nonzero((codes[name] == 0) & (plane > 0))
            if added or removed:
                differences.append(f"{name} {added} added and {removed} removed")
        if not differences:
            return ()
        line = f"pixels of masks that differ from CODES: {', '.join(differences)}"
        masked = {name: np.mean(codes[name] > 0) for name in planes if name.startswith("CRMASK")}
        many = ", ".join(f"{one:.1%} of {name}" for name, one in masked.items() if one > MANY)
        doubt = f". {many} are masked, more than {MANY:.0%}: cosmic rays do not hit so many. Check them" if many else ""
        warn_user(f"masks of {self.path} have been edited, and are used as they are; {line}{doubt}")
        return (line,)

    def _follow_edits(self, arguments):
        """Make the planes of the joint decision agree with edited masks."""
        planes, probability = self._planes("CODES"), arguments["probability"]
        if probability is None:
            return
        for i in range(self.n_exposures):
            name = exposure_name(i)
            flagged = arguments["codes"][name] > 0
            edited = flagged != (planes[name] > 0) if name in planes else flagged & False
            probability[i][edited] = flagged[edited]
            if arguments["signal_shift"] is not None:
                arguments["signal_shift"][edited] = 0

    def _variance(self, name):
        """An image of variances, or None."""
        variance = self._image(name)
        if variance is not None and variance.min() < 0:
            raise InputError(f"values of {name} in {self.path} must be 0 or more; got {variance.min():g}")
        return variance

    def _probability(self):
        """float16 (N, ny, nx), or None."""
        n = self._number_of("PROB")
        if n == 0:
            return None
        if n != self.n_exposures:
            raise InputError(f"{self.path} must hold one PROB for each of {self.n_exposures} CRMASK; got {n}")
        planes = empty_image((n, *self.shape), np.float16)
        for i, plane in enumerate(planes):
            plane[...] = self._array(f"PROB{i + 1}", 2)
            relax()
        if planes.min() < 0 or planes.max() > 1:
            raise InputError(f"probabilities of {self.path} must be 0 to 1; got {planes.min():g} to {planes.max():g}")
        return planes

    def _votes(self, codes):
        """Names of the detectors, and the pixels that each found."""
        planes = self._planes("DETECTORS")
        if not planes:
            return {}
        cards = self._numbered(self.hdus["DETECTORS"].header, "DETECT")
        self._check_numbering(cards, "DETECT", first=0)
        detectors = tuple(str(cards[number]) for number in sorted(cards))
        most = max(int(plane.max()) for plane in planes.values())
        if most >> len(detectors):
            raise InputError(
                f"DETECTORS of {self.path} must name a detector for each bit (DETECT0...); "
                f"got {len(detectors)} for {most.bit_length()} bits"
            )
        nothing = np.zeros(self.shape, np.uint8)
        found_by = {
            name: _kept(np.where(codes[name] > 0, planes.get(name, nothing), 0).astype(np.uint8)) for name in codes
        }
        return {"detectors": detectors, "found_by": found_by}

    def _local_medians(self):
        """Listed pixels with their boxes, of the extension RPMEDIAN; empty without one."""
        if "RPMEDIAN" not in self.hdus:
            return ()
        hdu = self.hdus["RPMEDIAN"]
        if not isinstance(hdu, fits.BinTableHDU | fits.TableHDU):
            raise InputError(f"extension RPMEDIAN of {self.path} must be a table; got {type(hdu).__name__}")
        # the columns are read by their order, because the manual gives no names
        rows = [[np.asarray(one).item() for one in tuple(row)[:4]] for row in hdu.data]
        items = tuple(check_local_median(f"RPMEDIAN of {self.path}", row) for row in rows)
        check_local_medians(items, self.shape, f"pixel {{}} of RPMEDIAN in {self.path}")
        return items

    def _origin(self):
        """Name and digest of each exposure; empty if one is missing."""
        numbers = range(1, self.n_exposures + 1)
        found = tuple((str(self.header.get(f"EXPN{i}", "")), str(self.header.get(f"EXPD{i}", ""))) for i in numbers)
        return found if all(digest for _, digest in found) else ()

    def _numbers_of_exposures(self, kind, words):
        """Positive numbers of the primary header, one for each exposure; empty if there is none at all."""
        cards = self._numbered(self.header, kind)
        if len(cards) not in (0, self.n_exposures):
            raise InputError(
                f"{self.path} must hold one CRMASK for each of its {len(cards)} {words} ({kind}1...); "
                f"got {self.n_exposures}"
            )
        self._check_numbering(cards, kind, first=1)
        return tuple(
            check_number(f"{kind}{number} of {self.path}", cards[number], minimum=0, exclusive=True)
            for number in sorted(cards)
        )

    @staticmethod
    def _numbered(header, kind):
        """Values of the keywords KIND0, KIND1, ... by number."""
        found = {re.fullmatch(rf"{kind}(0|[1-9]\d*)", key): value for key, value in header[f"{kind}*"].items()}
        return {int(match[1]): value for match, value in found.items() if match}

    def _check_numbering(self, cards, kind, first):
        """Raise `InputError` unless the numbers of the keywords begin with ``first``, and none is missing."""
        missing = sorted(set(range(first, first + len(cards))) - set(cards))
        if missing:
            last = first + len(cards) - 1
            raise InputError(f"{self.path} must hold {kind}{first} to {kind}{last}; got no {kind}{missing[0]}")
