"""The part of a stack that decides for all exposures together."""

import numpy as np

from crstack._votes import found_by_exposures, tell_detectors
from crstack.detectors._choose import as_detector
from crstack.detectors.voting import VotingDetector
from crstack.joint.candidates import Counts
from crstack.joint.posterior import JointPosterior, joint_posterior
from crstack.masks import MaskSet, joint_codes

__all__ = ["JointStack"]


class JointStack:
    """Methods of `~crstack.CRStack` for the joint decision."""

    def joint_posterior(self, method=None, aux=None, *, progress=None):
        """Probability of each value to be hit, all exposures taken together.

        Parameters
        ----------
        method : JointPosterior, optional
            Its settings; the defaults if not given.
        aux : Detector or str, optional
            Detector whose masks of the exposures raise the odds of what it flags.
        progress : callable, optional
            Called as ``progress(stage, fraction)``.

        Returns
        -------
        result : `~crstack.joint.JointResult`
        """
        method, aux = method or JointPosterior(), as_detector(aux)
        found = None if aux is None else self._detections_of_exposures(aux, progress)

        def compute():
            if progress is not None:
                progress("joint decision", 0.0)
            return joint_posterior(self._counts(), method, found)

        return self._once("joint decision", (method, aux), compute)

    def _counts(self):
        """The exposures in electrons as they were taken, and what is expected in them."""
        equalized, exposures, base = self.equalized, self.exposures, self.exposures.noise
        unit = base.electrons_per_unit
        noises = [exposures.noise_of(i) for i in range(len(self))]
        per_unit = [noise.electrons_per_unit for noise in noises]
        data = exposures.data
        if any(np.ndim(one) or one != 1 for one in per_unit):
            data = np.stack([plane * np.float32(one) for plane, one in zip(data, per_unit, strict=True)])
        readnoise2 = np.square(base.readnoise_electrons, dtype=np.float32)
        variance, poisson = readnoise2, None
        if any(noise.known_variance is not None for noise in noises):
            poisson = tuple(noise.known_variance is None for noise in noises)
            variance = tuple(
                readnoise2 if own else noise.known_variance * np.square(one, dtype=np.float32)
                for own, noise, one in zip(poisson, noises, per_unit, strict=True)
            )
        factors = (1.0,) * len(self)
        if equalized.flux is not None and self.equalization.apply_flux_factors_to == "simulated":
            factors = equalized.flux.values
        scales = shifts = worth = None
        if exposures.scales:
            worth = tuple(unit / one for one in per_unit)
        if exposures.scales or any(factor != 1 for factor in factors):
            scales = tuple(factor * one / unit for factor, one in zip(factors, per_unit, strict=True))
        if equalized.offsets is not None:
            shifts = tuple(
                (difference - np.float32(factor - 1) * equalized.common) * np.float32(one)
                for difference, factor, one in zip(equalized.differences, factors, per_unit, strict=True)
            )
        return Counts(data, variance, exposures.bad, scales, shifts, poisson, worth)

    def _detections_of_exposures(self, aux, progress):
        found = np.empty(self.exposures.data.shape, dtype=bool)
        for i in range(len(self)):
            if progress is not None:
                progress(f"detecting in exposure {i + 1}", 0.0)
            found[i] = self._detection_of_exposure(aux, i).mask
        return found

    def _joint_masks(self, method, aux, aux_noise, rules, progress):
        result = self.joint_posterior(method, aux, progress=progress)
        found = None if aux is None else self._detections_of_exposures(aux, None)
        codes, steps = joint_codes(result.mask, rules, found, self.exposures.bad)
        codes["MEANCR"] = np.zeros(self.exposures.shape, dtype=np.uint8)
        auxclean = None
        if aux is not None:
            auxclean = self._detection_of_average(aux, "median", aux_noise).cleaned
        history = (*self._history(aux, aux_noise, None, rules), f"method: {method!r}", f"found: {result!r}")
        flux = self.equalized.flux
        probability = result.probability.astype(np.float16)
        signal_shift = result.signal_shift.copy()
        rules.apply_to_joint(probability, signal_shift)
        masks = MaskSet(
            codes,
            auxclean,
            history,
            steps,
            probability,
            signal_shift=signal_shift,
            excess_variance=result.excess_variance if result.excess_variance.any() else None,
            local_medians=rules.local_medians,
            flux_factors=flux.values if flux else (),
            detectors=aux.names if isinstance(aux, VotingDetector) else (),
        )
        if aux is not None:
            codes["MEANCR"], steps["MEANCR"], residual = self._residual_codes(aux, aux_noise, masks, rules)
        if isinstance(aux, VotingDetector):
            searched = [self._detection_of_exposure(aux, i).found_by for i in range(len(self))]
            tell_detectors(masks, found_by_exposures(searched, result.mask & found) | {"MEANCR": residual})
        return masks
