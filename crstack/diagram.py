"""The median-minimum diagram: simulated and observed histograms."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from scipy import ndimage

from crstack.exceptions import InputError
from crstack.simulation.samplers import histogram
from crstack.statistics import OrderStatistics
from crstack.utils.threads import PIXELS_IN_CACHE, map_threads, row_bands
from crstack.utils.validation import check_choice, check_integer, check_number, check_quantity

if TYPE_CHECKING:
    from crstack.simulation.level_sampler import LevelSampler
    from crstack.simulation.samplers import PixelSampler

__all__ = ["DiagramSettings", "EquivalentSets", "MMDiagram", "make_diagram"]

#: bins of the histograms along each axis
N_BINS = 100
#: upper end of the y axis in units of the largest simulated y, without and with shifted exposures
Y_MARGIN, SHIFTED_Y_MARGIN = 2.0, 4.0
#: upper end of the y axis in units of the highest fixed point
FIXED_POINT_MARGIN = 1.02
#: settings that are lengths along the axes
LENGTHS = ("x_min", "x_max", "y_max", "y_floor")


@dataclass(frozen=True)
class DiagramSettings:
    """Settings of the simulation of a diagram.

    Parameters
    ----------
    n_simulations : int, optional
        Sets of exposures to simulate; 1 or more.
    seed : int or None, optional
        Seed of the random numbers; None for new ones each time.
    min_neighbors : int, optional
        Simulated bins with fewer occupied neighbours (of 8) are ignored.
    y_max : float or `~astropy.units.Quantity`, optional
        Upper end of the y axis; 0 for automatic.
    y_floor : float or `~astropy.units.Quantity`, optional
        An automatic y axis reaches at least this value, the highest fixed point.
    nbinom_shape : float or None, optional
        Shape kappa of the negative binomial distribution of the photons, of
        variance s + s**2 / kappa electrons; None for Poisson.
    synthetic : {"median", "single"}, optional
        Expected image of every simulated exposure: the median, or that
        exposure itself, cleaned by the auxiliary detector.
    x_min, x_max : float, `~astropy.units.Quantity` or None, optional
        Ends of the x axis, as numbers in the unit of the exposures; None for automatic.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    n_simulations: int = 10
    seed: int | None = 123456
    min_neighbors: int = 0
    y_max: float | u.Quantity = 0.0
    y_floor: float | u.Quantity = 0.0
    nbinom_shape: float | None = None
    synthetic: str = "median"
    x_min: float | u.Quantity | None = None
    x_max: float | u.Quantity | None = None

    def __post_init__(self):
        check_integer("n_simulations", self.n_simulations, minimum=1)
        if self.seed is not None:
            check_integer("seed", self.seed, minimum=0)
        check_integer("min_neighbors", self.min_neighbors, minimum=0, maximum=8)
        if self.nbinom_shape is not None:
            check_number("nbinom_shape", self.nbinom_shape, minimum=0, exclusive=True)
        check_choice("synthetic", self.synthetic, ("median", "single"))
        if not any(isinstance(getattr(self, name), u.Quantity) for name in LENGTHS):
            self._check_lengths()

    def _check_lengths(self):
        """Raise `InputError` if an end of an axis is no number, or the ends are not in order."""
        check_number("y_max", self.y_max, minimum=0)
        check_number("y_floor", self.y_floor)
        for name in ("x_min", "x_max"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name))
        if self.x_min is not None and self.x_max is not None and self.x_min >= self.x_max:
            raise InputError(f"x_max must be greater than x_min; got {self.x_max} and {self.x_min}")

    def in_unit(self, unit: u.UnitBase) -> "DiagramSettings":
        """The settings with all lengths as numbers in the unit of the exposures.

        Parameters
        ----------
        unit : `~astropy.units.Unit`
            Unit of the exposures.

        Returns
        -------
        settings : DiagramSettings
            With plain numbers in that unit.
        """
        lengths = {name: getattr(self, name) for name in LENGTHS}
        lengths = {name: one for name, one in lengths.items() if isinstance(one, u.Quantity)}
        if not lengths:
            return self
        return replace(self, **{name: check_quantity(name, one, unit, shape=()) for name, one in lengths.items()})


@dataclass(frozen=True, eq=False)
class EquivalentSets:
    """Model of sets of exposures without hits, for boundaries computed from it.

    Attributes
    ----------
    noise : `~crstack.noise.NoiseModel`
        Noise of one exposure, with scalar gain and read noise: those of a typical pixel.
    n_exposures, cr_coincidences : int
        N, and the number of highest values that min2d excludes.
    """

    noise: object
    n_exposures: int
    cr_coincidences: int


@dataclass(frozen=True, eq=False, repr=False)
class MMDiagram:
    """Histograms of x = min2d and y = median2d - min2d.

    If gain or read noise are images, x and y are those of a pixel with the median of both: see
    ``NoiseScale``.

    Attributes
    ----------
    simulated : `~numpy.ndarray`
        int64 (100, 100), indexed [x, y]: pixels of all `n_sets` simulated sets.
    observed : `~numpy.ndarray`
        The same for the exposures themselves.
    x_edges, y_edges : `~numpy.ndarray`
        (101,) bin edges in the unit of the exposures, bias subtracted.
    settings : DiagramSettings
        Settings of the simulation.
    unit : `~astropy.units.Unit`
        Unit of both axes.
    oversampling : int
        Sets drawn for each requested simulation, to reduce the scatter of the tail.
    sets : EquivalentSets or None
        Model of the exposures; None if they do not share one noise model.
    n_outside : int
        Pixels of the exposures beyond the ends of the axes.
    """

    simulated: np.ndarray
    observed: np.ndarray
    x_edges: np.ndarray
    y_edges: np.ndarray
    settings: "DiagramSettings"
    unit: object
    oversampling: int = 1
    sets: EquivalentSets | None = None
    n_outside: int = 0

    @property
    def n_sets(self):
        """Number of sets of exposures drawn: the simulations times the oversampling."""
        return self.settings.n_simulations * self.oversampling

    def __repr__(self):
        return (
            f"<MMDiagram: {self.observed.sum()} pixels, {self.settings.n_simulations} simulations, "
            f"min2d {self.x_edges[0]:.4g} to {self.x_edges[-1]:.4g}, "
            f"median2d - min2d to {self.y_edges[-1]:.4g} {self.unit}>"
        )

    def boundary_points(self) -> np.ndarray:
        """Boundary point of each x column: the y above which exactly one simulated pixel lies.

        Any y between the two highest pixels meets this; the middle is used. Columns with no more than one pixel per
        simulation are excluded, because their highest pixels do not measure the tail.

        Returns
        -------
        points : `~numpy.ndarray`
            (n, 2) of x (centre of the column) and y, in `unit`.
        """
        counts = without_lonely_bins(self.simulated, self.settings.min_neighbors)
        above = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
        centres = (self.x_edges[1:] + self.x_edges[:-1]) / 2
        middles = (self.y_edges[1:] + self.y_edges[:-1]) / 2
        # one pixel in the requested sets corresponds to this many in the sets drawn
        left = self.oversampling
        points = []
        for centre, column, tail in zip(centres, counts, above, strict=True):
            if tail[0] <= self.n_sets:
                continue
            # the middle between the highest pixel below the point and the lowest above it
            second, first = np.flatnonzero(tail > left)[-1], np.flatnonzero(tail >= left)[-1]
            share = (tail[second] - left) / column[second]
            lower = self.y_edges[second] + share * (self.y_edges[second + 1] - self.y_edges[second])
            points.append((centre, max(lower, (lower + middles[first]) / 2)))
        return np.array(points).reshape(-1, 2)


def without_lonely_bins(counts, min_neighbors):
    """Empty the bins that have fewer than ``min_neighbors`` occupied neighbours of 8."""
    if min_neighbors == 0:
        return counts
    kernel = np.ones((3, 3), dtype=int)
    kernel[1, 1] = 0
    neighbors = ndimage.convolve((counts > 0).astype(int), kernel, mode="constant")
    return np.where(neighbors >= min_neighbors, counts, 0)


def _observed(min2d, difference, x_edges, y_edges):
    """Histogram of the observed pixels, and the number of those with a finite min2d."""

    def work(rows):
        x = min2d[rows]
        valid = np.isfinite(x)
        return histogram(x[valid], difference[rows][valid], x_edges, y_edges), np.count_nonzero(valid)

    counts, numbers = zip(*map_threads(work, row_bands(*min2d.shape, PIXELS_IN_CACHE)), strict=True)
    return sum(counts), sum(numbers)


def make_diagram(
    sampler: "LevelSampler | PixelSampler",
    statistics: OrderStatistics,
    used: np.ndarray,
    settings: DiagramSettings,
    *,
    shifted: bool = False,
    sets: EquivalentSets | None = None,
    progress: Callable[[float], None] | None = None,
) -> MMDiagram:
    """Simulate and observe the diagram of a stack.

    Parameters
    ----------
    sampler : `~crstack.simulation.LevelSampler` or `~crstack.simulation.PixelSampler`
        Draws simulated pixels.
    statistics : OrderStatistics
        Of the exposures themselves.
    used : `~numpy.ndarray` of bool
        (ny, nx), the pixels that are simulated: valid in every exposure, not
        flagged by the auxiliary detector.
    settings : DiagramSettings
        How many simulations and which bins count.
    shifted : bool, optional
        Whether offsets are simulated: an automatic y axis is then twice as long.
    sets : EquivalentSets, optional
        Model of the exposures, stored with the diagram.
    progress : callable, optional
        Called with the fraction done, 0 to 1.

    Returns
    -------
    diagram : MMDiagram
        Simulated and observed histogram, with their bin edges.

    Raises
    ------
    InputError
        If the settings leave nothing of the axis.
    """
    min2d, difference = sampler.coordinates(statistics.min2d, statistics.median2d - statistics.min2d)
    x = min2d[used]
    ranges = [sampler.reach(0.0), sampler.reach(float(x.max()))]
    x_min = min(x.min(), *(low for low, _, _ in ranges))
    x_max = max(x.max(), *(high for _, high, _ in ranges))
    x_min = x_min if settings.x_min is None else settings.x_min
    x_max = x_max if settings.x_max is None else settings.x_max
    if x_min >= x_max:
        raise InputError(f"x_min and x_max must leave part of the axis, {x_min:g} to {x_max:g}; got nothing")
    y_max = settings.y_max
    if not y_max:
        margin = SHIFTED_Y_MARGIN if shifted else Y_MARGIN
        y_max = max(margin * max(y for _, _, y in ranges), settings.y_floor * FIXED_POINT_MARGIN)
    x_edges = np.linspace(x_min, x_max, N_BINS + 1)
    y_edges = np.linspace(0.0, y_max, N_BINS + 1)

    simulated = sampler.histogram(settings.n_simulations * sampler.oversampling, x_edges, y_edges, progress)
    observed, n_valid = _observed(min2d, difference, x_edges, y_edges)
    n_outside = n_valid - int(observed.sum())
    return MMDiagram(
        simulated, observed, x_edges, y_edges, settings, sampler.unit, sampler.oversampling, sets, n_outside
    )
