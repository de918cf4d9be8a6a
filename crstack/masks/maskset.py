"""The masks of a stack, by name."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS

from crstack.exceptions import InputError
from crstack.exposures import Exposures
from crstack.files.fits_writing import write_fits
from crstack.masks.codes import Code, exposure_name, with_codes_of_others
from crstack.masks.counts import table_of_counts
from crstack.masks.features import find_features
from crstack.masks.quality import quality_images, write_exposures
from crstack.masks.reading import arguments_from_file
from crstack.masks.rules import MaskRules, codes_of_hits
from crstack.masks.writing import masks_to_hdulist
from crstack.utils.memory import limited_memory, place_of
from crstack.utils.validation import check_number

if TYPE_CHECKING:
    from crstack.methods import Decision

__all__ = ["MaskSet"]


def _new_uuid() -> str:
    return str(uuid4())


def _read_only(array: np.ndarray | None) -> np.ndarray | None:
    """A view of an array that cannot be changed."""
    if array is None or not array.flags.writeable:
        return array
    view = array.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, eq=False, repr=False)
class MaskSet(Mapping[str, np.ndarray]):
    """The masks of a stack: MEDIANCR, MEANCRT, CRMASK1 to CRMASKN and MEANCR.

    It is a mapping: ``masks["MEDIANCR"]`` is a boolean array (ny, nx), and iterating gives the names. These arrays, and
    those of the attributes, are read-only, because a change of one mask would contradict the others. Give ``rules`` to
    detect, such as pixels to force or to ignore, or edit the file of the masks: see `read`.

    Attributes
    ----------
    codes : dict
        uint8 array (ny, nx) by name: the method that flagged each pixel, see `Code`.
    auxclean : `~numpy.ndarray` or None
        Median cleaned by the auxiliary detector, bias subtracted, in the unit
        of the exposures.
    history : tuple of str
        How the masks were made.
    steps : dict
        By mask, the number of pixels after each rule; empty if read from a file.
    probability : `~numpy.ndarray` or None
        float16 (N, ny, nx): probability that each value is hit, from the joint
        decision.
    signal_shift : `~numpy.ndarray` or None
        float32 (ny, nx), electrons, with ``probability``: expected mean of all exposures, by the
        posterior mean of the signal, minus the mean of the values weighted by their probabilities.
    signal_variance : `~numpy.ndarray` or None
        float32 (ny, nx), electrons squared, with ``signal_shift``: variance of this expected mean. It includes the
        noise of the exposures, and the uncertainty of which of their values are hit. 0 where no value can be hit; None
        if the masks were read from a file without it.
    excess_variance : `~numpy.ndarray` or None
        float32 (ny, nx), electrons squared: variance of an exposure beyond photons and read noise, if the joint
        decision found any.
    uuid : str
        Identifies this set in the products made with it.
    local_medians : tuple of (x, y, x_width, y_width)
        Pixels that combinations replace by the median of a box around them.
    flux_factors : tuple of float
        Flux factor of each exposure; empty where all are 1.
    throughputs : tuple of float
        Throughput of each exposure over their mean, in the exposures that are combined; empty where all are equal.
    detectors : tuple of str
        Names of the auxiliary detectors, where several voted.
    found_by : dict
        Then, by mask, a uint8 array (ny, nx): bit i is set where detector i
        (from 0) flagged a pixel of code `Code.AUXILIARY` or `Code.BOTH`.
    sources : `~astropy.table.QTable` or None
        Sources that only some exposures show: see `~crstack.not_hits.sources.find_sources`. None if the masks were
        read from a file.
    trails : tuple
        Trails of satellites: see ``crstack.not_hits.trails.Trail``. Empty if the masks were read from a file.
    decision : `~crstack.methods.Decision` or None
        All results of the method; None if the masks were read from a file.
    wcs : `~astropy.wcs.WCS` or None
        World coordinates of the first exposure, if it has some.
    origin : tuple of (str, str)
        File name and digest of each exposure that the masks were made of; empty if they are not known.

    Examples
    --------
    >>> from crstack import CRStack
    >>> from crstack.datasets import make_stack
    >>> simulated = make_stack("ifu", shape=(80, 90), hit_rate=0.02, seed=1)
    >>> stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    >>> masks = stack.detect("joint")
    >>> masks["CRMASK1"].shape, masks["CRMASK1"].dtype
    ((80, 90), dtype('bool'))
    >>> masks.crmasks.shape
    (3, 80, 90)
    """

    codes: Mapping[str, np.ndarray]
    auxclean: np.ndarray | None = None
    history: tuple[str, ...] = ()
    steps: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    probability: np.ndarray | None = None
    uuid: str = field(default_factory=_new_uuid)
    local_medians: tuple[tuple[int, ...], ...] = ()
    flux_factors: tuple[float, ...] = ()
    throughputs: tuple[float, ...] = ()
    detectors: tuple[str, ...] = ()
    found_by: Mapping[str, np.ndarray] = field(default_factory=dict)
    signal_shift: np.ndarray | None = None
    signal_variance: np.ndarray | None = None
    excess_variance: np.ndarray | None = None
    sources: QTable | None = None
    trails: tuple = ()
    decision: "Decision | None" = None
    wcs: WCS | None = None
    origin: tuple[tuple[str, str], ...] = ()

    # two sets of masks are not compared value by value
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __post_init__(self) -> None:
        missing = {"MEDIANCR", "MEANCRT", "MEANCR"} - set(self.codes)
        if missing or self.n_exposures == 0:
            raise InputError(
                f"masks must hold MEDIANCR, MEANCRT, MEANCR and CRMASK1...; got {', '.join(self.codes) or 'none'}"
            )
        for name in ("codes", "found_by"):
            planes = getattr(self, name)
            object.__setattr__(self, name, {mask: _read_only(plane) for mask, plane in planes.items()})
        for name in ("auxclean", "probability", "signal_shift", "signal_variance", "excess_variance"):
            object.__setattr__(self, name, _read_only(getattr(self, name)))

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            mask = self.codes[name] > 0
        except KeyError:
            raise KeyError(f"mask must be one of {', '.join(self.codes)}; got {name!r}") from None
        # read-only: a change would be lost, because the mask is made from its codes at each call
        mask.flags.writeable = False
        return mask

    def __iter__(self) -> Iterator[str]:
        return iter(self.codes)

    def __len__(self) -> int:
        return len(self.codes)

    def __contains__(self, name: object) -> bool:
        return name in self.codes

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {np.count_nonzero(codes)}" for name, codes in self.codes.items())
        return f"<MaskSet of {self.n_exposures} exposures: {counts} pixels>"

    def _repr_html_(self) -> str:
        return self.counts()._repr_html_()

    @property
    def n_exposures(self) -> int:
        """Number of exposures."""
        return sum(exposure_name(i) in self.codes for i in range(len(self.codes)))

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of the masks."""
        return self.codes["MEDIANCR"].shape

    @property
    def crmasks(self) -> np.ndarray:
        """Masks of the exposures, bool (N, ny, nx), with values that are too low."""
        masks = np.stack([self[exposure_name(i)] for i in range(self.n_exposures)])
        # read-only: a change would be lost, because the masks are made from their codes at each call
        masks.flags.writeable = False
        return masks

    @property
    def low(self) -> np.ndarray:
        """Values of the exposures that are too low, bool (N, ny, nx)."""
        return np.stack([self.codes[exposure_name(i)] == Code.LOW for i in range(self.n_exposures)])

    @property
    def finder(self) -> str:
        """Name of the method that decided, such as "M.M.Cosmic" or "joint decision"."""
        if self.decision is not None:
            return self.decision.method.label
        return "M.M.Cosmic" if self.probability is None else "joint decision"

    @property
    def problematic(self) -> np.ndarray:
        """Pixels that are masked in every exposure, bool (ny, nx)."""
        problematic = self.codes[exposure_name(0)] > 0
        for i in range(1, self.n_exposures):
            problematic &= self.codes[exposure_name(i)] > 0
        return problematic

    def rows(self, rows: slice) -> "MaskSet":
        """The masks of some rows, without the decision and the local medians.

        Parameters
        ----------
        rows : slice
            The rows.

        Returns
        -------
        masks : MaskSet
            Those of the rows.
        """

        def cut(plane: np.ndarray | None) -> np.ndarray | None:
            return None if plane is None else plane[..., rows, :]

        return replace(
            self,
            codes={name: codes[rows] for name, codes in self.codes.items()},
            found_by={name: votes[rows] for name, votes in self.found_by.items()},
            auxclean=cut(self.auxclean),
            probability=cut(self.probability),
            signal_shift=cut(self.signal_shift),
            signal_variance=cut(self.signal_variance),
            excess_variance=cut(self.excess_variance),
            local_medians=(),
            decision=None,
        )

    def threshold(self, probability: float, *, rules: MaskRules | None = None) -> "MaskSet":
        """Make the masks of the values whose probability to be hit exceeds ``probability``.

        Parameters
        ----------
        probability : float
            Between 0 and 1.
        rules : MaskRules, optional
            Global dilation, skipped regions, ignored and forced pixels.

        Returns
        -------
        masks : MaskSet
            With MEANCR as it is in these masks.

        Raises
        ------
        InputError
            If these masks have no probabilities.
        """
        check_number("probability", probability, minimum=0, maximum=1)
        if self.probability is None:
            raise InputError("masks must be those of the joint decision to have probabilities; got others")
        rules = rules or MaskRules()
        codes, steps = codes_of_hits(self.probability > probability, rules, finder=self.finder)
        codes = {name: with_codes_of_others(plane, self.codes[name]) for name, plane in codes.items()}
        chance = self.probability.copy()
        shift = np.zeros(self.shape, np.float32) if self.signal_shift is None else self.signal_shift.copy()
        rules.apply_to_joint(chance, shift)
        planes: dict[str, Any] = {"steps": steps, "probability": chance, "signal_shift": shift}
        return replace(
            self,
            codes=codes | {"MEANCR": self.codes["MEANCR"]},
            **planes,
            decision=self.decision and replace(self.decision, codes=codes, **planes),
            history=(*self.history, f"threshold of probability: {probability:g}"),
            uuid=_new_uuid(),
        )

    def counts(self) -> QTable:
        """Number of pixels by mask and code, as a table.

        Returns
        -------
        table : `~astropy.table.QTable`
            One row for each mask: name, flagged, the method by its name (mmcosmic, joint, or that of a plug-in),
            auxiliary, both, dilated, given, low, source, trail, moved.
        """
        return table_of_counts(self.codes, self.finder)

    def features(self, signal: Any = None, *, name: str = "MEDIANCR", unit: Any = None) -> QTable:
        """Table of the connected hits of a mask: see `~crstack.masks.features.find_features`.

        Parameters
        ----------
        signal : `~numpy.ndarray` or `~astropy.units.Quantity`, optional
            (ny, nx), summed over each hit.
        name : str, optional
            Name of a mask, or "problematic" for the pixels masked in every exposure.
        unit : `~astropy.units.Unit`, optional
            Unit of a signal without one.

        Returns
        -------
        hits : `~astropy.table.QTable`
            A row for each hit.
        """
        return find_features(self, signal, name, unit)

    def to_hdulist(self) -> fits.HDUList:
        """The masks as FITS: see `write`.

        Returns
        -------
        hdulist : `~astropy.io.fits.HDUList`
            The extensions that `write` writes.
        """
        return masks_to_hdulist(self)

    def write(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Write the masks to a FITS file, completely or not at all.

        Each mask is an extension of 0 and 1, with its number of pixels in NPMASKED. The cube CODES has the codes of
        each mask, whose names are in PLANE1, PLANE2 and so on. Some extensions are there only if they are needed:
        AUXCLEAN if the detector cleans; PROB1 to PROBN, SIGSHIFT, SIGVAR and EXCESS from the joint decision; the table
        RPMEDIAN if pixels are replaced by a local median; and the cube DETECTORS, with ``found_by`` bit by bit, if
        several detectors voted.

        Parameters
        ----------
        path : str or path-like
            ``.fits``; ``.fits.gz`` and ``.fits.fz`` are compressed without loss.
        overwrite : bool, optional
            Replace the file if it exists.

        Raises
        ------
        InputError
            If the file exists and ``overwrite`` is not set, or the directory cannot be written.
        """
        with limited_memory(place_of(self.codes["MEDIANCR"])):
            write_fits(path, self.to_hdulist(), headers_valid=True, overwrite=overwrite)

    def to_dq(
        self, *, bits: str | Mapping[str, int] = "stsci", exposures: Exposures | None = None, cleaned: bool = False
    ) -> np.ndarray:
        """Data quality images of the exposures, (N, ny, nx): see `~crstack.masks.quality.quality_images`.

        Parameters
        ----------
        bits : str or mapping, optional
            "stsci", "lsst" or "dragons", or bits by reason.
        exposures : `~crstack.exposures.Exposures`, optional
            ``stack.exposures``, for bits of bad, saturated and low values.
        cleaned : bool, optional
            Whether the images are for the exposures of `crstack.stack.CRStack.clean`: sets the bit of replaced values.

        Returns
        -------
        quality : `~numpy.ndarray`
            (N, ny, nx), integers: the bits of each value.
        """
        more = {"low": self.low, "excess_variance": self.excess_variance}
        return quality_images(self.crmasks, bits, exposures, cleaned=cleaned, **more)

    def write_exposures(
        self,
        paths: Sequence[str | os.PathLike],
        directory: str | os.PathLike,
        *,
        ext: int | str = 0,
        bits: str | Mapping[str, int] = "stsci",
        exposures: Exposures | None = None,
        overwrite: bool = False,
    ) -> list[Path]:
        """Copy the files of the exposures, with the mask of each: see `~crstack.masks.quality.write_exposures`.

        Parameters
        ----------
        paths : sequence of path-like
            The files, in the order of the masks.
        directory : path-like
            Directory of the copies, which have the same names.
        ext : int or str, optional
            Extension of the images.
        bits, exposures : optional
            As for `to_dq`.
        overwrite : bool, optional
            Whether files of the same names in the directory are replaced.

        Returns
        -------
        written : list of `~pathlib.Path`
            The copies, each with extensions DQ and MASK.

        Raises
        ------
        InputError
            If number or shape of the images differ, if the files are the exposures of the masks in another order, or if
            a copy would replace another file.

        Warns
        -----
        CRStackWarning
            If files hold other values than the exposures that the masks were made of.
        """
        return write_exposures(
            self.crmasks,
            paths,
            directory,
            ext=ext,
            bits=bits,
            exposures=exposures,
            low=self.low,
            excess_variance=self.excess_variance,
            origin=self.origin,
            overwrite=overwrite,
        )

    @classmethod
    def read(cls, path: str | os.PathLike, *, chip: str | None = None) -> "MaskSet":
        """Read masks written by `write` or by ``numina-crmasks``.

        Parameters
        ----------
        path : str or path-like
            FITS file. Extensions are found by their names. The masked pixels are read from the masks, and
            their methods from CODES. Pixels without a code in CODES get the code ``GIVEN``. If masks and CODES
            differ, as after an edit, a warning counts the differences.
        chip : str, optional
            Name of the chip, for a file of a mosaic.

        Returns
        -------
        masks : MaskSet

        Raises
        ------
        InputError
            If the file is missing, not FITS or lacks a mask, if shapes differ, or values are NaN.
        """
        return cls(**arguments_from_file(path, chip))
