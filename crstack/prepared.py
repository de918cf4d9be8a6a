"""Input of every method: the exposures, their expected images, and the results computed from them."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

import numpy as np

from crstack.equalize.equalized import EqualizedExposures
from crstack.equalize.fit.differences import Differences
from crstack.equalize.known import before_shifts, equalize_as_known
from crstack.equalize.settings import Equalization, known_steps, open_settings
from crstack.equalize.terms.given_terms import warn_of_terms
from crstack.equalize.terms.wcs_shifts import compare_with_wcs
from crstack.equalize.with_measured import with_measured
from crstack.exposures import Exposures
from crstack.exposures.comparison.times import warn_of_times
from crstack.statistics import OrderStatistics, order_statistics
from crstack.utils.plugins import protected
from crstack.utils.validation import check_integer

__all__ = ["PreparedStack", "Progress", "ReadOnlyStack", "report_stage"]

#: called as ``progress(stage, fraction)``
Progress = Callable[[str, float], None]
#: default number of stored results of each stage
KEPT = 8


def report_stage(progress: Progress | None, stage: str) -> None:
    """Report to ``progress``, if there is one, that a stage begins.

    Parameters
    ----------
    progress : callable or None
        Called as ``progress(stage, 0.0)``.
    stage : str
        Name of the stage.
    """
    if progress is not None:
        progress(stage, 0.0)


class _Same:
    """A key that equals only itself. It holds the object, so that its identity is not reused."""

    def __init__(self, one: object) -> None:
        self._one = one

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other._one is self._one

    def __hash__(self) -> int:
        return id(self._one)


def _as_key(settings: object) -> Hashable:
    """Settings as a key; objects that cannot be hashed equal only themselves."""
    if isinstance(settings, tuple):
        return tuple(_as_key(one) for one in settings)
    try:
        hash(settings)
    except TypeError:
        return _Same(settings)
    return settings


class PreparedStack:
    """The exposures of a stack, their expected images, and the results computed from them.

    Parameters
    ----------
    given : `~crstack.exposures.Exposures`
        The exposures as read.
    cr_coincidences : int
        Number of highest values that min2d excludes; 1 for two exposures.
    equalization : `~crstack.equalize.Equalization`
        Given or measured differences of exposures that are not equivalent.

    Attributes
    ----------
    timings : dict of float
        Seconds that each stage took when it was computed, by its name.
    """

    def __init__(self, given: Exposures, cr_coincidences: int, equalization: Equalization) -> None:
        check_integer("cr_coincidences", cr_coincidences, minimum=2, maximum=max(len(given) - 1, 2))
        if len(given) == 2:
            # with two exposures the lower value is the replacement, because either may be hit
            cr_coincidences = 1
        equalization.check_for(given)
        used = equalization.uses_times
        wrong = warn_of_times(given, used=used, given=not used and equalization.flux_factors is not None)
        # wrong times explain a noise that seems wrong
        self.given = replace(given, doubted=True) if wrong else given
        self.cr_coincidences = cr_coincidences
        self.equalization = equalization
        self.timings: dict[str, float] = {}
        self._kept: dict[str, OrderedDict[Hashable, Any]] = {}

    def __len__(self) -> int:
        return len(self.given)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the stored results, for pickles and copies: they are large, and are computed again."""
        return self.__dict__ | {"_kept": {}}

    def once(self, stage: str, settings: object, compute: Callable[[], Any], *, keep: int = KEPT) -> Any:
        """Return the result of a stage for these settings; compute it if it is not stored.

        Parameters
        ----------
        stage : str
            Name of the stage.
        settings : object
            Everything that the result depends on, except this stack. Compared by value if it can be hashed.
        compute : callable
            Computes the result.
        keep : int, optional
            Number of results of this stage that are stored; the least recently used is dropped first.

        Returns
        -------
        result : object
            What ``compute`` returned.
        """
        key = _as_key(settings)
        results = self._kept.setdefault(stage, OrderedDict())
        if key not in results:
            start = time.perf_counter()
            results[key] = compute()
            self.timings[stage] = time.perf_counter() - start
        results.move_to_end(key)
        while len(results) > keep:
            results.popitem(last=False)
        return results[key]

    # the exposures

    @property
    def known(self) -> EqualizedExposures:
        """The exposures with the differences that are given, or measured before all other terms."""

        def compute() -> EqualizedExposures:
            found = equalize_as_known(self.given, lambda: self.statistics_of(self.given), self.equalization)
            warn_of_terms(found, self.equalization, open_settings(self.equalization))
            return found

        return self.once("equalization", None, compute)

    @property
    def before_measurement(self) -> EqualizedExposures:
        """The exposures as they are measured: those of `known`, without given offsets where these are a start only."""

        def compute() -> EqualizedExposures:
            return self.known if known_steps(self.equalization) is None else before_shifts(self.known)

        return self.once("before shifts", None, compute)

    @property
    def equalized(self) -> EqualizedExposures:
        """The exposures with all their differences: those of `known`, and what is measured beyond them.

        The joint decision measures the same terms itself, in the memory that it may use.
        """
        names, steps = open_settings(self.equalization), known_steps(self.equalization)
        return self.once("differences", None, lambda: with_measured(self.before_measurement, names, steps))

    @property
    def exposures(self) -> Exposures:
        """The exposures to combine, divided by the factors of `known`."""
        return self.known.exposures

    @property
    def at_mean_level(self) -> Exposures:
        """The exposures minus their expected differences, plus the mean of these."""

        def compute() -> Exposures:
            differences = self.equalized.differences
            if differences is None:
                return self.exposures
            return self.exposures.at_mean_level(differences)

        return self.once("exposures on their mean level", None, compute)

    @property
    def statistics(self) -> OrderStatistics:
        """Order statistics of `exposures`."""
        return self.statistics_of(self.exposures)

    @property
    def compared(self) -> OrderStatistics:
        """Order statistics of the compared data: the exposures minus their expected differences."""
        return self.statistics_of(self.equalized.levelled)

    def statistics_of(self, exposures: Exposures) -> OrderStatistics:
        """Order statistics of exposures, computed once.

        Parameters
        ----------
        exposures : `~crstack.exposures.Exposures`
            The exposures.

        Returns
        -------
        statistics : `~crstack.statistics.OrderStatistics`
            Of shape (ny, nx).
        """

        def compute() -> OrderStatistics:
            return order_statistics(exposures.data, self.cr_coincidences, exposures.bad)

        return self.once("order statistics", exposures, compute)

    @property
    def nowhere_valid(self) -> np.ndarray | None:
        """Pixels without a valid exposure, bool (ny, nx); None if there are none."""
        nothing = self.statistics.count == 0
        return nothing if nothing.any() else None

    def compare_with_wcs(self, measured: Differences | None) -> None:
        """Warn if the world coordinates of the headers give other shifts than those that are used.

        Parameters
        ----------
        measured : `~crstack.equalize.Differences` or None
            What the decision measured, beyond the offsets of `known`.
        """
        offsets = self.known.offsets
        if offsets is not None:
            is_measured = any(any(one) for one in offsets.errors)
            compare_with_wcs(self.exposures, offsets.values, offsets.errors if is_measured else None)
        elif measured is not None and "offsets" in open_settings(self.equalization):
            compare_with_wcs(self.exposures, measured.shifts, measured.kernel_errors[:, 1:3].tolist())


class ReadOnlyStack(PreparedStack):
    """A prepared stack with read-only arrays, for the methods of plug-ins. It shares the stored results.

    Parameters
    ----------
    prepared : PreparedStack
        The stack.
    """

    def __init__(self, prepared: PreparedStack) -> None:
        self.__dict__.update(prepared.__dict__)
        self._whole = prepared
        self.given = protected(prepared.given)

    @property
    def known(self) -> EqualizedExposures:
        """See `PreparedStack.known`."""
        return protected(self._whole.known)

    @property
    def equalized(self) -> EqualizedExposures:
        """See `PreparedStack.equalized`."""
        return protected(self._whole.equalized)

    @property
    def statistics(self) -> OrderStatistics:
        """See `PreparedStack.statistics`."""
        return protected(self._whole.statistics)

    @property
    def compared(self) -> OrderStatistics:
        """See `PreparedStack.compared`."""
        return protected(self._whole.compared)
