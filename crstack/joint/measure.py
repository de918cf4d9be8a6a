"""What differs between exposures that scatter beyond their noise: measured, as far as nobody has told it."""

from dataclasses import dataclass, field, replace
from functools import cache, partial

import numpy as np

from crstack._pixels import informative_box
from crstack.equalize import Equalization, FluxFactors, Offsets, ResponseSettings, equalize
from crstack.exceptions import InputError
from crstack.joint.expected import counts_of
from crstack.joint.scatter import scatter_of
from crstack.statistics import order_statistics

__all__ = ["Measured", "measure_differences", "open_settings"]

#: what is kept lowers the excess by so many standard errors
SIGNIFICANCE = 3.0


@dataclass(frozen=True)
class _Step:
    """Something to measure.

    Parameters
    ----------
    setting : str
        Of `~crstack.equalize.Equalization`.
    value : object
        What makes it measure.
    term : str
        Term of the `ExcessVariance` that asks for it.
    words : str
        For people.
    """

    setting: str
    value: object
    term: str
    words: str


#: values of a response that tell its limits
PIXELS_OF_LIMITS = 300_000
#: pixels of the finest structure of a response
LENGTH = 64
#: in this order; a response along y takes the place of one along x if it does better
STEPS = (
    _Step("flux_factors", "auto", "relative", "flux factors"),
    _Step("offsets", "auto", "shift", "offsets"),
    _Step("response", ResponseSettings("x", LENGTH), "relative", "local response along x"),
    _Step("response", ResponseSettings("y", LENGTH), "relative", "local response along y"),
)


@dataclass(frozen=True)
class Measured:
    """What was measured because the exposures scatter beyond their noise.

    Attributes
    ----------
    flux : FluxFactors or None
        None where nothing was measured, or what was measured explains nothing.
    offsets : Offsets or None
        Likewise.
    response : `~crstack.equalize.ResponseSettings` or None
        Likewise.
    limits : tuple of float
        0.1 and 99.9 per cent of the values of the response are below.
    useless : tuple of str
        What was measured and explains nothing.
    failed : dict of str
        Why others could not be measured.
    """

    flux: FluxFactors | None = None
    offsets: Offsets | None = None
    response: ResponseSettings | None = None
    limits: tuple = ()
    useless: tuple = ()
    failed: dict = field(default_factory=dict)

    def __bool__(self):
        return any(one is not None for one in (self.flux, self.offsets, self.response))

    def in_vain(self):
        """The same, if what was kept explains nothing after all."""
        kept = (self.flux, "flux factors"), (self.offsets, "offsets"), (self.response, "local response")
        useless = tuple(words for one, words in kept if one is not None)
        return Measured(useless=self.useless + useless, failed=self.failed)

    def summary(self):
        """In words.

        Returns
        -------
        words : dict of str
        """
        found = []
        if self.flux is not None:
            found.append(f"flux factors {', '.join(f'{value:.4g}' for value in self.flux.values)}")
        if self.offsets is not None:
            found.append(f"offsets (dx, dy) {self.offsets}")
        if self.response is not None:
            low, high = self.limits
            found.append(f"local response along {self.response.axis} from {low:.3f} to {high:.3f}")
        words = {"measured": "; ".join(found) or "nothing that explains the scatter"}
        if self.useless:
            words["measured in vain"] = ", ".join(self.useless)
        if self.failed:
            words["not to be measured"] = "; ".join(f"{name} ({why})" for name, why in self.failed.items())
        return words


def open_settings(settings):
    """What an `Equalization` neither gives nor asks for, as a set of names of its parameters."""
    names = {name for name in ("flux_factors", "offsets", "response") if getattr(settings, name) is None}
    return names if settings.crosscorr_region is None else names - {"offsets"}


def measure_differences(equalized, names, cr_coincidences, counts, scatter, progress=None):
    """Measure what explains the scatter of the exposures.

    Parameters
    ----------
    equalized : `~crstack.equalize.EqualizedExposures`
        The exposures, with what is known of them.
    names : set of str
        What may be measured: see `open_settings`.
    cr_coincidences : int
        See `~crstack.CRStack`.
    counts : Counts
        The exposures in electrons, as expected so far.
    scatter : Scatter
        Of these counts.
    progress : callable, optional
        Called as ``progress(stage, fraction)``.

    Returns
    -------
    measured : Measured or None
        None where nothing was tried.
    counts : Counts
        As expected with what was measured.
    scatter : Scatter
        Of these.

    Notes
    -----
    Flux factors are tried first, then offsets where the scatter follows the gradient, then the local
    response where it follows the signal. Each is measured with what was kept before, and kept if the
    variance beyond the noise, in the pixels that it was fitted to, falls by three standard errors of its own.
    All this is done where the image tells most (`informative_box`). The local response is then measured
    everywhere, and the whole must lower the excess of the whole image.
    """
    # in an order of their own, so that the order in which they come cannot matter
    order = np.argsort(counts.data.mean(axis=(1, 2), dtype=np.float64))
    box = informative_box(scatter.of_pixels / counts.mean_variance(scatter.signal))
    known = {
        "flux_factors": _at(equalized.factors, order),
        "offsets": _at(equalized.offsets and equalized.offsets.values, order),
    }
    exposures = equalized.exposures
    trials = _Trials(exposures.cutout(box).reordered(order), known, cr_coincidences)
    while step := trials.next_step(names):
        if progress is not None:
            progress(f"measuring {step.words}", 0.0)
        trials.attempt(step)
    measured = trials.measured(order.argsort())
    if not measured:
        return measured if measured.useless or measured.failed else None, counts, scatter
    best, limits = _expecting(counts, exposures, order, trials.known, cr_coincidences)
    if not _explains(scatter, best):
        return measured.in_vain(), counts, scatter
    return replace(measured, limits=limits), best, scatter_of(best)


def _expecting(counts, exposures, order, known, cr_coincidences):
    """The counts with what is known of the exposures in another order, and the limits of their response."""
    exposures, back = exposures.reordered(order), order.argsort()
    found = equalize(exposures, _statistics(exposures, cr_coincidences), known)
    other = counts_of(found, counts.data)
    limits = () if found.response is None else _limits(found.response.maps)
    return replace(counts, scales=_at(other.scales, back), shifts=_at(other.shifts, back)), limits


def _limits(maps):
    """Between which nearly all of the response lies."""
    some = maps.ravel()[:: max(maps.size // PIXELS_OF_LIMITS, 1)]
    return tuple(np.percentile(some, [0.1, 99.9]).tolist())


def _at(values, order):
    return tuple(values[i] for i in order) if values else None


def _explains(scatter, counts):
    share, error = scatter.share_left(counts)
    return 1 - share > SIGNIFICANCE * error


def _statistics(exposures, cr_coincidences):
    """Function that gives the order statistics, computed once, when they are called for."""
    return cache(partial(order_statistics, exposures.data, cr_coincidences, exposures.bad))


class _Trials:
    """What is known of exposures, tried step by step.

    Parameters
    ----------
    exposures : Exposures
        To try it on.
    known : dict
        Parameters of an `Equalization`.
    cr_coincidences : int
        See `~crstack.CRStack`.

    Attributes
    ----------
    known : Equalization
        With what was kept.
    """

    def __init__(self, exposures, known, cr_coincidences):
        self._exposures, self.known = exposures, Equalization(**known)
        self._statistics = _statistics(exposures, cr_coincidences)
        self._scatter = scatter_of(counts_of(self._equalize()))
        self._kept, self._failed, self._in_vain = {}, {}, {}
        self._over, self._useless = [], []

    def _equalize(self, **change):
        return equalize(self._exposures, self._statistics, replace(self.known, **change))

    def next_step(self, names):
        """The first step that is worth trying, or None."""
        for step in STEPS:
            # a response includes the factors
            covered = step.setting == "flux_factors" and "response" in self._kept
            asked_for = step.setting in names and getattr(self._scatter.excess, step.term)
            if asked_for and not covered and step not in self._over:
                return step
        return None

    def attempt(self, step):
        """Measure, and keep what lowers the excess."""
        self._over.append(step)
        try:
            found = self._equalize(**{step.setting: step.value})
        except InputError as error:
            self._failed[step.words] = str(error)
            return
        counts = counts_of(found)
        if not _explains(self._scatter, counts):
            self._useless.append(step)
            self._in_vain[step.words] = step.setting
            return
        self._keep(step.setting, found)
        self._scatter = scatter_of(counts)
        # what told nothing may do so now
        self._over = [one for one in self._over if one not in self._useless]
        self._useless = []

    def _keep(self, name, found):
        value = {"flux_factors": found.flux, "offsets": found.offsets, "response": found.response}[name]
        value = getattr(value, "settings", value)
        self._kept[name] = value
        self.known = replace(self.known, **{name: getattr(value, "values", value)})

    def measured(self, order):
        """What was kept, for the exposures in another order."""
        flux, offsets = (self._kept.get(name) for name in ("flux_factors", "offsets"))
        flux, offsets = (
            one and replace(one, values=_at(one.values, order), errors=_at(one.errors, order))
            for one in (flux, offsets)
        )
        useless = tuple(words for words, setting in self._in_vain.items() if setting not in self._kept)
        return Measured(flux, offsets, self._kept.get("response"), (), useless, self._failed)
