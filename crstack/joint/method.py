"""The joint decision: the hit exposures of a pixel, from all exposures together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from crstack.detections import Detections
from crstack.equalize.fit.differences import Differences
from crstack.equalize.settings import known_steps, open_settings
from crstack.equalize.terms.given_terms import warn_of_terms
from crstack.equalize.variance.row_noise import warn_of_shared_noise
from crstack.exceptions import InputError
from crstack.joint.counts import Counts
from crstack.joint.expected import counts_of
from crstack.joint.measure import with_measured_differences
from crstack.joint.photon_counting import warn_of_photon_counting
from crstack.joint.posterior import JointResult, joint_posterior
from crstack.joint.scatter import Scatter, scatter_of
from crstack.masks.rules import MaskRules
from crstack.methods import Decision, Method
from crstack.prepared import PreparedStack, Progress, report_stage
from crstack.utils.pixels import by_rows
from crstack.utils.validation import check_boolean, check_choice, check_integer, check_number

__all__ = ["JointDecision", "JointPosterior"]

#: measured memory (bytes per pixel of an image) of a mask at a rate of false alarms, beside the arrays in files
BYTES_OF_FALSE_ALARM = 40.0
#: number of results that a stack stores; each holds N probabilities per pixel
KEPT = 3
#: approximate number of rows from which the noise of a value is measured
ROWS_OF_NOISE = 100


@dataclass(frozen=True)
class JointPosterior(Method):
    """The joint decision: the probability that each value is hit, from all exposures of the pixel together.

    For each pixel, all possible sets of hit exposures are compared. The clean values share one signal, and the hit
    values have an added charge. The likelihood is integrated over the signal and the charges. The prior rate of hits is
    higher beside hits. Rate, distribution of charges and the effect of neighbours are fitted to the stack.

    Parameters
    ----------
    mask : {"loss"}, optional
        Mask a value if its exclusion reduces the expected squared error of the mean. This is so if its probability of a
        hit exceeds one half, see ``crstack.joint.least_loss.least_loss``. This is the default.
    probability : float, optional
        Instead of ``mask``: values with a higher probability are masked; between 0 and 1.
    false_alarm : float, optional
        Instead of ``mask``: the fraction of clean values that are flagged, above 0 and at most 0.01. Flagged values
        that touch count as one. The threshold comes from simulations. Values that touch a flagged one are added if
        their probability exceeds one half.
    n_fits : int, optional
        Steps of expectation maximisation that fit the population of hits, in each sweep.
    n_sweeps : int, optional
        Sweeps over the neighbours, after one without neighbours.
    excess : bool, optional
        Fit a variance beyond photons and read noise to the stack, relative to the
        signal and to its gradient.
    measure : bool, optional
        Measure the differences between the exposures (added levels, throughput, shifts and seeing) that are neither
        given nor switched off in the stack, see `~crstack.equalize.Equalization`. Measure also the local variance of
        the exposures. Needs ``excess``. The exposures themselves are not corrected. Combinations with masks bring their
        values to one level.

    Raises
    ------
    InputError
        If a value is out of range, or if more than one of ``mask``, ``probability`` and ``false_alarm`` is given.
    """

    mask: str | None = None
    probability: float | None = None
    false_alarm: float | None = None
    n_fits: int = 8
    n_sweeps: int = 2
    excess: bool = True
    measure: bool = True

    label = "joint decision"

    def __post_init__(self) -> None:
        given = [name for name in ("mask", "probability", "false_alarm") if getattr(self, name) is not None]
        if len(given) > 1:
            raise InputError(f"mask, probability and false_alarm exclude each other; got {' and '.join(given)}")
        if self.mask is not None:
            check_choice("mask", self.mask, ("loss",), "None")
        if self.probability is not None:
            check_number("probability", self.probability, minimum=0, maximum=1)
        if self.false_alarm is not None:
            check_number("false_alarm", self.false_alarm, minimum=0, maximum=0.01, exclusive=True)
        check_integer("n_fits", self.n_fits, minimum=1)
        check_integer("n_sweeps", self.n_sweeps, minimum=1)
        check_boolean("excess", self.excess)
        check_boolean("measure", self.measure)

    def bytes_per_pixel(self, n: int) -> float:
        """See `Method.bytes_per_pixel`: 0, because it works by bands of rows, except for a rate of false alarms.

        Parameters
        ----------
        n : int
            Number of exposures.

        Returns
        -------
        bytes : float
            For each pixel of an image.
        """
        return 0.0 if self.false_alarm is None else BYTES_OF_FALSE_ALARM

    def posterior(
        self, prepared: PreparedStack, detected: Detections | None = None, progress: Progress | None = None
    ) -> JointResult:
        """Probability that each value is hit; computed once.

        Parameters
        ----------
        prepared : `~crstack.prepared.PreparedStack`
            The stack.
        detected : `~crstack.detections.Detections`, optional
            Raises the odds of the pixels that it finds in the exposures.
        progress : callable, optional
            Called as ``progress(stage, fraction)``.

        Returns
        -------
        result : JointResult
            Probabilities, and what was measured of the hits and of the exposures.
        """
        found = None if detected is None else detected.in_exposures(progress)

        def compute() -> JointResult:
            warn_of_photon_counting(prepared.exposures)
            counts, scatter, measured = self._expectation(prepared, progress)
            report_stage(progress, "joint decision")
            shared = 0.0
            if measured is not None and measured.profiles:
                shared = warn_of_shared_noise(measured, _noise_of_value(counts, measured.common))
            result = joint_posterior(counts, self, found, scatter)
            return replace(result, measured=measured, shared_variance=shared)

        return prepared.once("joint decision", (self, detected and detected.aux), compute, keep=KEPT)

    def _expectation(
        self, prepared: PreparedStack, progress: Progress | None
    ) -> tuple[Counts, Scatter | None, Differences | None]:
        """Counts, their scatter if requested, and the measured differences."""
        names = open_settings(prepared.equalization)
        measures = self.measure and self.excess and bool(names)
        counts, measured = counts_of(prepared.before_measurement if measures else prepared.known), None
        off = [name for name in ("measure", "excess") if not getattr(self, name)]
        if off:
            warn_of_terms(prepared.known, prepared.equalization, (), off=off)
        if not self.excess:
            return counts, None, None
        if measures:
            report_stage(progress, "measuring what differs")
            steps, comparable = known_steps(prepared.equalization), prepared.exposures.comparable
            counts, measured = with_measured_differences(counts, names, steps, comparable)
        return counts, scatter_of(counts, of_places=self.measure, measured=measured), measured

    def decide(
        self,
        prepared: PreparedStack,
        detected: Detections | None,
        rules: MaskRules,
        progress: Progress | None = None,
    ) -> "JointDecision":
        """Decide which values are hit; see `crstack.methods.Method.decide`.

        Parameters
        ----------
        prepared : `~crstack.prepared.PreparedStack`
            The stack.
        detected : `~crstack.detections.Detections` or None
            Detections of the auxiliary detector; None without a detector.
        rules : `~crstack.masks.MaskRules`
            Dilation, regions and pixels.
        progress : callable, optional
            Called as ``progress(stage, fraction)``.

        Returns
        -------
        decision : JointDecision
            Masks, probabilities and measured values.
        """
        result = self.posterior(prepared, detected, progress)
        probability, shift = result.rounded, result.signal_shift
        if rules.changes_values:
            probability, shift = probability.copy(), shift.copy()
            rules.apply_to_joint(probability, shift)
        # the levels of rows are known, and do not disturb the decision, but the mean of the exposures keeps theirs
        excess, of_signal, shared = result.excess_variance, result.signal_variance, np.float32(result.shared_variance)
        if shared:
            excess = excess + shared
            of_signal = np.where(of_signal > 0, of_signal + shared / np.float32(len(prepared)), of_signal)
        return JointDecision.of_hits(
            self,
            result.mask,
            prepared,
            detected,
            rules,
            result=result,
            probability=probability,
            signal_shift=shift,
            signal_variance=of_signal,
            excess_variance=excess if excess.any() else None,
        )


def _difference(given, factor, scale, added, common, unit):
    """The expected image of an exposure minus the common image: what is given, and a factor times what is measured."""
    return (given + factor * ((scale - 1) * common + added / unit)).astype(np.float32)


def _noise_of_value(counts, common):
    """Standard deviation of a typical value, electrons."""
    box = (slice(None, None, max(len(common) // ROWS_OF_NOISE, 1)), slice(None))
    return float(np.sqrt(np.median(counts.mean_variance_in(common[box], box))))


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class JointDecision(Decision):
    """The joint decision.

    Attributes
    ----------
    result : JointResult
        Probabilities, population of hits, excess variance and measured differences, before the rules of the masks are
        applied.
    """

    result: JointResult

    @property
    def measured(self) -> Differences | None:
        """The differences between the exposures that were measured; None if none were to be measured."""
        return self.result.measured

    @property
    def unexplained_shift(self) -> float:
        """Shift (pixels) that would make structures differ as they do beyond the measured differences."""
        return float(self.result.excess.shift)

    def differences(self, prepared: PreparedStack, common: np.ndarray) -> Sequence[np.ndarray] | None:
        """The expected image of each exposure minus the common image, with measured differences; see `Decision`.

        Parameters
        ----------
        prepared : `~crstack.prepared.PreparedStack`
            The exposures, and what is known of them.
        common : `~numpy.ndarray`
            (ny, nx) common image, in the unit of the exposures.

        Returns
        -------
        differences : sequence of `~numpy.ndarray` or None
            N images (ny, nx) in the unit of the exposures; None where the exposures are equal.
        """
        measured = self.measured
        known = prepared.known if measured is None else prepared.before_measurement
        if not measured:
            return known.differences
        n, unit = len(prepared), np.float32(prepared.exposures.noise.electrons_per_unit)
        factors = np.array(known.factors or (1.0,) * n, np.float32)
        given = (np.float32(0),) * n if known.differences is None else known.differences
        terms = zip(given, factors, measured.scales, measured.added, strict=True)
        return tuple(by_rows(_difference, *term, common, unit) for term in terms)

    def describe(self) -> tuple[str, ...]:
        """The method and its fits, as lines for the history of the masks.

        Returns
        -------
        lines : tuple of str
            Of the history.
        """
        return (*super().describe(), f"found: {self.result!r}")
