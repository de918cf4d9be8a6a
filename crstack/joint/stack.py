"""The part of a stack that decides for all exposures together."""

from dataclasses import replace

import numpy as np

from crstack.detectors._choose import as_detector
from crstack.detectors.voting import VotingDetector
from crstack.joint.expected import counts_of
from crstack.joint.measure import expecting, open_settings
from crstack.joint.method import JointPosterior, joint_posterior
from crstack.joint.scatter import scatter_of
from crstack.masks import MaskSet, joint_codes
from crstack.masks.votes import found_by_exposures, tell_detectors

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
            counts, scatter, measured = self._expectation(method, progress)
            if progress is not None:
                progress("joint decision", 0.0)
            return replace(joint_posterior(counts, method, found, scatter), measured=measured)

        return self._once("joint decision", (method, aux), compute)

    def _expectation(self, method, progress):
        """Counts, their scatter where it is wanted, and what was measured to expect them."""
        counts, measured = counts_of(self.equalized), None
        if not method.excess:
            return counts, None, None
        names = open_settings(self.equalization)
        if method.measure and names:
            if progress is not None:
                progress("measuring what differs", 0.0)
            counts, measured = expecting(counts, names)
        return counts, scatter_of(counts, of_places=method.measure), measured

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
