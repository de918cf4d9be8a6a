"""CRStack: asks for the stages in order and keeps their results."""

import functools
import time
from dataclasses import replace
from importlib.metadata import version

import numpy as np

from crstack._diagram_stack import AUTO, AUX_NOISE, DiagramStack, report_stage
from crstack._shortcuts import Shortcuts, middle_threshold
from crstack._validation import check_choice
from crstack.combine import Combiner
from crstack.combine.ccdproc_combiner import make_combiner
from crstack.detectors._choose import as_detector
from crstack.detectors.voting import VotingDetector
from crstack.equalize import Equalization
from crstack.equalize.stack import EqualizedStack
from crstack.exceptions import InputError
from crstack.exposures import load_exposures
from crstack.joint import JointPosterior
from crstack.joint.stack import JointStack
from crstack.masks import MaskRules, MaskSet, detection_limit, exposure_name, image_codes, united
from crstack.masks.votes import tell_detectors
from crstack.simulation.noise_scale import NoiseScale

__all__ = ["CRStack"]


class CRStack(JointStack, DiagramStack, EqualizedStack, Shortcuts):
    """Three or more equivalent exposures, and what is found out about them.

    The stages are `mm_diagram`, `fit_boundary`, `detect` and `combine`. Each
    asks for the earlier ones with sensible defaults, and results are kept: a
    stage asked for again with the same settings is not computed again.

    Parameters
    ----------
    exposures : list
        CCDData, NDData, Quantity images, 2-D arrays or paths of FITS files, all
        of one shape and unit. Masks, NaN and uncertainties of any of the three
        NDData classes are honoured.
    gain : `~astropy.units.Quantity`, optional
        Electrons per ADU, scalar or image (ny, nx). Not needed for exposures
        in electrons.
    readnoise : `~astropy.units.Quantity`
        In electrons (or ADU), scalar or image.
    bias : `~astropy.units.Quantity`, optional
        In ADU or electrons, scalar or image, still in the exposures; none by
        default.
    unit : `~astropy.units.Unit`, optional
        Unit of plain arrays, and of files without BUNIT.
    ext : int or str, optional
        FITS extension where exposures are paths.
    cr_coincidences : int, optional
        How many exposures may be hit in one pixel: min2d leaves out as many of
        the highest values. At least 2 and less than the number of exposures.
    **equalization
        What is known, or is to be measured, of exposures that are not quite
        equivalent: parameters of `~crstack.equalize.Equalization`, ``flux_factors``,
        ``flux_regions``, ``flux_method``, ``apply_flux_factors_to``, ``offsets``,
        ``crosscorr_region``, ``response``.

    Attributes
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures, bias subtracted.
    timings : dict
        Seconds that each stage took when it was computed, by its name.

    Raises
    ------
    InputError
        If the exposures or the numbers do not fit together.

    Examples
    --------
    >>> import astropy.units as u
    >>> from crstack import CRStack
    >>> from crstack.datasets import make_stack
    >>> simulated = make_stack("ifu", shape=(60, 80), seed=1)
    >>> stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    >>> ccd = stack.combine("meancr2")
    >>> ccd.shape, ccd.unit
    ((60, 80), Unit("adu"))
    """

    def __init__(
        self, exposures, *, gain=None, readnoise=None, bias=None, unit=None, ext=0, cr_coincidences=2, **equalization
    ):
        equalization = Equalization(**equalization)
        given = load_exposures(exposures, gain=gain, readnoise=readnoise, bias=bias, unit=unit, ext=ext)
        super().__init__(given, cr_coincidences, equalization)
        self._diagram = self._boundary = self._masks = self._fitted_to = None
        self._limits = (None, None)  # boundary and threshold of the latest masks, for figures

    @classmethod
    def from_files(cls, paths, ext=0, unit=None, **options):
        """Make a stack of FITS files.

        Parameters
        ----------
        paths : list of str or path-like
            Three or more files; an `~ccdproc.ImageFileCollection`'s
            ``files_filtered(include_path=True)`` will do.
        ext : int or str, optional
            Extension of the images.
        unit : `~astropy.units.Unit`, optional
            Unit of the images, over their BUNIT.
        **options
            Other arguments of `CRStack`.

        Returns
        -------
        stack : CRStack

        Raises
        ------
        InputError
            As `CRStack` does.
        """
        return cls(paths, ext=ext, unit=unit, **options)

    def __repr__(self):
        done = [
            name
            for name, result in (("diagram", self._diagram), ("boundary", self._boundary), ("masks", self._masks))
            if result is not None
        ]
        has = ", ".join(done) or "no results"
        return f"<CRStack of {self._given!r}, cr_coincidences={self.cr_coincidences}, has {has}>"

    # masks

    def detect(self, aux=AUTO, boundary=AUTO, *, method=None, vote="any", aux_noise="exposure", progress=None, **rules):
        """Find the cosmic rays: the masks MEDIANCR, MEANCRT, CRMASKi and MEANCR.

        Parameters
        ----------
        aux : Detector, str, list of these or None, optional
            Auxiliary detector, or the name of a registered one for its
            defaults; several vote; None for M.M.Cosmic, or the ``method``, alone. "auto" is
            "lacosmic" for M.M.Cosmic and None with a ``method``.
        boundary : "auto", BoundaryModel, FittedBoundary, str or None, optional
            Boundary of M.M.Cosmic. "auto" takes that of the latest
            `fit_boundary`, or fits a `SplineBoundary`; None leaves M.M.Cosmic
            out, for the auxiliary detector alone. Not used with a ``method``.
        vote : {"any", "all"} or int, optional
            How many of several detectors must flag a pixel: see
            `~crstack.detectors.VotingDetector`. ``masks.found_by`` tells who did.
        method : JointPosterior, optional
            One decision for all exposures in place of M.M.Cosmic. A detector
            joined in raises the odds of what it flags.
        aux_noise : {"exposure", "average"}, optional
            Noise that the detector is told for the median and the means: that
            of one exposure, with which its thresholds give the masks of the
            reference program, or that of the average itself, which finds
            fainter hits there and more false ones.
        progress : callable, optional
            Called as ``progress(stage, fraction)``.
        **rules
            Parameters of `~crstack.masks.MaskRules`: ``threshold_rnoise``,
            ``minimum_max2d_rnoise``, ``mm_dilation``, ``dilation``,
            ``skip_regions``, ``force_pixels``, ``ignore_pixels``, ``local_medians``.

        Returns
        -------
        masks : `~crstack.masks.MaskSet`
            Also used by the `combine` that follows.

        Raises
        ------
        InputError
            If both the detector and the boundary are None, or a rule is wrong.
        """
        if method is not None and not isinstance(method, JointPosterior):
            raise InputError(f"method must be a JointPosterior or None; got {method!r}")
        if isinstance(aux, str) and aux == AUTO:
            aux = "lacosmic" if method is None else None
        aux = as_detector(aux, vote)
        check_choice("aux_noise", aux_noise, AUX_NOISE)
        rules = MaskRules(**rules)
        rules.check_inside(self.exposures.shape)
        if method is not None:
            key = (method, aux, aux_noise, rules)
            self._masks = self._once(
                "joint masks", key, lambda: self._joint_masks(method, aux, aux_noise, rules, progress)
            )
            return self._masks
        if aux is None and boundary is None:
            raise InputError("aux or boundary must be given; got None for both")
        fitted = self._boundary_for(boundary, aux, aux_noise, progress)
        self._limits = fitted, middle_threshold(rules, self.exposures.noise.readnoise_in_unit)
        key = (aux, aux_noise, id(fitted), rules)
        self._masks = self._once("masks", key, lambda: self._make_masks(aux, aux_noise, fitted, rules, progress))
        return self._masks

    def _limits_for(self, boundary, rules):
        """What gives the `detection_limit` of each kind of image."""
        readnoise, scale = self.equalized.levelled.noise.readnoise_in_unit, NoiseScale.of(self.equalized.levelled.noise)
        limits = {}

        def limit_of(image):
            own = boundary and boundary.for_image(image)
            # most boundaries are one for all images
            if own not in limits:
                limits[own] = detection_limit(self.compared, own, readnoise, rules, scale)
            return limits[own]

        return limit_of

    def _flag_images(self, aux, aux_noise, boundary, rules, progress):
        """Codes and steps of the median, the mean and the exposures, and who found what, by name of the mask."""
        statistics, exposures, limit_of = self.compared, self.equalized.levelled, self._limits_for(boundary, rules)
        codes, steps, found_by = {}, {}, {}

        def flag(name, image, limit, bad, detection):
            report_stage(progress, f"masking {name}")
            found = None if aux is None else detection()
            codes[name], steps[name] = image_codes(image, limit, rules, found and found.mask, bad)
            found_by[name] = found and found.found_by

        for name, image in (("median", statistics.median2d), ("mean", statistics.mean2d)):
            mask = "MEDIANCR" if name == "median" else "MEANCRT"
            find = functools.partial(self._detection_of_average, aux, name, aux_noise)
            flag(mask, image, limit_of(name), self._nowhere_valid, find)
        codes["MEANCRT"] = united(codes["MEANCRT"], codes["MEDIANCR"])
        steps["MEANCRT"]["flagged, with those of MEDIANCR"] = int(np.count_nonzero(codes["MEANCRT"]))
        for i in range(len(self)):
            name = exposure_name(i)
            find = functools.partial(self._detection_of_exposure, aux, i)
            flag(name, exposures.data[i], limit_of("exposure"), exposures.bad_of(i), find)
            codes[name][codes["MEANCRT"] == 0] = 0
            steps[name]["flagged, and in MEANCRT"] = int(np.count_nonzero(codes[name]))
        return codes, steps, found_by

    def _make_masks(self, aux, aux_noise, boundary, rules, progress):
        codes, steps, found_by = self._flag_images(aux, aux_noise, boundary, rules, progress)
        codes["MEANCR"] = np.zeros(self.exposures.shape, dtype=np.uint8)
        flux = self.equalized.flux
        masks = MaskSet(
            codes,
            None if aux is None else self._detection_of_average(aux, "median", aux_noise).cleaned,
            self._history(aux, aux_noise, boundary, rules),
            steps,
            local_medians=rules.local_medians,
            flux_factors=flux.values if flux else (),
            detectors=aux.names if isinstance(aux, VotingDetector) else (),
        )
        if aux is not None:
            report_stage(progress, "masking MEANCR")
            codes["MEANCR"], steps["MEANCR"], found_by["MEANCR"] = self._residual_codes(aux, aux_noise, masks, rules)
        if isinstance(aux, VotingDetector):
            tell_detectors(masks, found_by)
        return masks

    def _residual_codes(self, aux, aux_noise, masks, rules):
        """Codes of MEANCR, what ``aux`` still finds in the mean of the clean exposures, steps and who found them."""
        start = time.perf_counter()
        meancr = Combiner(self.exposures, self.statistics, masks).combine("meancr").ccd.data
        found = aux.detect(meancr, self._noise_of("mean", aux_noise), self._nowhere_valid)
        self.timings[f"{type(aux).__name__} on meancr"] = time.perf_counter() - start
        alone = detection_limit(self.statistics, None, 0.0, rules)
        undilated = replace(rules, mm_dilation=0, dilation=0)
        return *image_codes(meancr, alone, undilated, found.mask, self._nowhere_valid), found.found_by

    def _history(self, aux, aux_noise, boundary, rules):
        return (
            f"crstack {version('crstack')}",
            *(f"exposure {i + 1}: {name}" for i, name in enumerate(self.exposures.names)),
            f"noise: {self.exposures.noise!r}",
            *self.equalized.describe(),
            f"cr_coincidences: {self.cr_coincidences}",
            f"auxiliary detector: {aux!r}, told the noise of the {aux_noise}",
            f"boundary: {boundary!r}",
            f"rules: {rules!r}",
        )

    # combined images

    def combine(
        self,
        name="meancr2",
        masks=None,
        *,
        full_output=False,
        use_auxmedian=False,
        variance="model",
        unbiased=None,
        fill=None,
    ):
        """Combine the exposures.

        Parameters
        ----------
        name : {"mean", "median", "min", "mediancr", "meancrt", "meancr", "meancr2", "meanjoint"}
            The combination; "meanjoint" needs masks of the joint decision.
        masks : MaskSet, optional
            Masks to apply. By default those of the latest `detect`; where
            there was none, it is called with its defaults, except for "mean",
            "median" and "min". These three keep their values with or without
            masks, but where masks are known their variances allow for the
            exposures that are hit.
        full_output : bool, optional
            Return count and flags too.
        use_auxmedian : bool, optional
            Replace by the detector's cleaned median in place of min2d.
        variance : {"model", "sample"}, optional
            Variance of the combined value propagated from the noise, or sample
            variance of the values combined.
        unbiased : bool, optional
            Correct values beside hits for the choice of what is masked, and medians and minima
            for the order of the clean values; by default where the masks are of the joint
            decision. False: plain means, medians and minima under the masks.
        fill : {"minimum", "neighbours"}, optional
            What stands in where each valid exposure is hit; "neighbours" by default
            where the masks are of the joint decision.

        Returns
        -------
        ccd : `~astropy.nddata.CCDData`
            With unit, mask (no clean measurement), `VarianceUncertainty`, header
            and WCS of the first exposure. With ``full_output`` a
            `~crstack.combine.Combination` of ``ccd``, ``count`` and ``flags``.

        Raises
        ------
        InputError
            If the name is unknown or the masks do not fit.
        """
        if masks is None:
            masks = self._masks
        if masks is None and name not in ("mean", "median", "min"):
            masks = self.detect()
        key = (id(masks), use_auxmedian, check_choice("variance", variance, ("model", "sample")), unbiased, fill)
        options = {"use_auxmedian": use_auxmedian, "variance": variance, "unbiased": unbiased, "fill": fill}
        combiner = self._once("combiner", key, lambda: Combiner(self.exposures, self.statistics, masks, **options))
        # made anew each time: what the user does to one must not show in the next
        result = combiner.combine(name)
        return result if full_output else result.ccd

    def to_combiner(self, masks=None):
        """A `~ccdproc.Combiner` of the exposures, bias subtracted, with hits and bad pixels masked.

        Parameters
        ----------
        masks : MaskSet, optional
            Masks to apply; by default those of the latest `detect`.

        Returns
        -------
        combiner : `~ccdproc.Combiner`
        """
        return make_combiner(self.exposures, masks or self._masks or self.detect())
