"""The expected exposures while their differences are fitted: a common image, and what each adds to it."""

from dataclasses import replace

import numpy as np

from crstack.equalize.fit.common_image import (
    CLIP_SIGMA,
    CONTRAST,
    fill_what_enters,
    mean_without_hits,
    median_without_hits,
    middle_of,
    scene_of_two,
)
from crstack.equalize.fit.fit_settings import BY_DEFAULT
from crstack.equalize.fit.found_differences import found_differences
from crstack.equalize.fit.hot import leave_out_hot
from crstack.equalize.fit.kernels.beyond_edges import add_light_from_beyond
from crstack.equalize.fit.kernels.changes import change_by_kernel, change_by_step, without_hot
from crstack.equalize.fit.kernels.drift import positions_of
from crstack.equalize.fit.kernels.edge_errors import as_far_as_seen
from crstack.equalize.fit.kernels.edges_of_others import edge_strips, lower_edge_errors
from crstack.equalize.fit.kernels.kernel_terms import SIZE, ladder_of, split_kernel
from crstack.equalize.fit.kernels.unseen import (
    add_unseen,
    most_light,
    most_light_in_corners,
    unseen_light,
    unseen_pixels,
)
from crstack.equalize.fit.kernels.varying import PARTS, POWERS
from crstack.equalize.fit.lines.straight_lines import straight_part
from crstack.equalize.fit.object_part import objects_of, with_own_sky
from crstack.equalize.fit.surfaces import Mesh, first_surfaces, levels_around
from crstack.equalize.terms.steps import confirmed_steps, corners_of_one, moved, shown_by_two, whole_steps
from crstack.statistics import sort_exposures, with_bad_filled
from crstack.utils.medians import median_of_values
from crstack.utils.memory import empty_image, kept, relax, stacked, zero_image
from crstack.utils.pixels import at_pixels, dilate
from crstack.utils.threads import map_images, map_threads, row_bands

__all__ = ["OF_MEDIAN", "ExpectedExposures", "copied_levels"]

#: variance of a median over that of a mean, roughly
OF_MEDIAN = 1.3
#: from this widening on, sum of both second moments (square pixels), light of stars beyond the edges is expected; with
#: less, it is in all exposures
WIDER = 0.3
#: number of pixels that is enough for the first levels
PIXELS_OF_LEVELS = 20_000


class ExpectedExposures:
    """The differences of exposures as far as they are fitted.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        float32 (N, ny, nx) electrons.
    variance_of : callable
        Mean variance of the exposures at a signal (image).
    bad : `~numpy.ndarray` of bool or None
        (N, ny, nx) excluded values.
    names : set of str
        What is measured; "hot pixels" if these differ, so that the common image is needed.
    settings : FitSettings, optional
        How the fit starts, and what it assumes.
    of_part : ExpectedExposures, optional
        A fit to a part of the image: its throughputs, kernels and steps are used, and its settings.
    """

    def __init__(self, levels, variance_of, bad, names, settings=BY_DEFAULT, *, of_part=None):
        # whether all of its edges are those of the exposures
        self.has_edges = True
        # the latest common image and what it depends on, and the latest straight parts and their image
        self.latest = self._straight = None
        self.settings = settings if of_part is None else of_part.settings.of_whole()
        self.levels, self.variance_of, self.bad = levels, variance_of, bad
        self.names, self.ladder = names, ladder_of(names)
        n = len(levels)
        self.mesh = Mesh(levels.shape[1:])
        # of the pixels, from -1 to 1 over the image
        self.positions = positions_of(levels.shape[1:])
        self.factors, self.kernels, self.terms = np.ones(n), np.zeros((n, SIZE, SIZE)), None
        self.covariance, self.lines = np.zeros((n, SIZE**2, SIZE**2)), []
        self.drifts, self.varying = np.zeros((n, 2, 2)), np.zeros((n, PARTS, POWERS))
        # whether levels along rows and columns come before the surfaces
        self.lines_first = False
        self.start, self.own_noises = self.settings.start, self.settings.noises
        self.object_alone = self.settings.object_alone
        self.steps = self.settings.steps or ((0, 0),) * n
        if self.start is not None:
            self.factors = self.start
        # axis of the lines of the sky, if terms along it describe their changes, so that kernels change the rest only
        self.sky_along = None
        if of_part is not None:
            self._take_fit_of(of_part)
        self.backgrounds = self.first_levels(levels)
        if self.settings.above_local:
            self.backgrounds = first_surfaces(self.mesh, levels, variance_of, bad)
        self.fill_bad()
        self.changes = self.blurs = self.noises = [np.float32(0)] * n
        self.gains = self.added = self.brightness = None
        # changes of the sky that come through the optics, (N, ny, nx) at the pixels and the level of the common image
        self.sky = None
        # effective number of values of each term along rows and columns
        self.freedom = {}
        self.kinds, self.grids = [""] * n, None
        if of_part is None and self.settings.steps is None and "offsets" in names:
            self.steps = self._measured_steps(levels)
        self.hot = None
        if any(map(any, self.steps)):
            self.leave_out_hot()
            self.start_moved()

    def _take_fit_of(self, part):
        """Use the throughputs, kernels and steps of the fit to a part of the image."""
        self.factors, self.kernels, self.terms = part.factors, part.kernels, part.terms
        self.covariance, self.steps, self.sky_along = part.covariance, part.steps, part.sky_along

    def _measured_steps(self, levels):
        """Shifts (dx, dy) of exposures (N, ny, nx) in whole pixels."""
        planes = [level - base for level, base in zip(levels, self.backgrounds, strict=True)]
        seen = self._above_local() if self.settings.above_local else levels
        return confirmed_steps(whole_steps(seen), planes, self.variance_of)

    def _above_local(self):
        """Exposures (N, ny, nx) minus the levels around the pixels."""
        around = levels_around(self.mesh, self.levels, np.ones(self.levels.shape[1:], dtype=bool))
        return np.stack([level - one for level, one in zip(self.levels, around, strict=True)])

    def fill_bad(self):
        """Replace bad values by the median of the other exposures, at the level of the exposure.

        Without this, a column of bad values looks like a change of the exposure along the column.
        """
        if self.bad is None:
            return
        bad = self.bad[:, :]
        some = bad.any(axis=0) & ~bad.all(axis=0)
        if not some.any():
            return
        # the copy also allows for a cube that is read by rows
        self.levels, bad = copied_levels(self.levels), bad[:, some]
        base = np.array([np.broadcast_to(one, some.shape)[some] for one in self.backgrounds])
        values = self.levels[:, some]
        filled = with_bad_filled(values - base, bad, self._variance_at(some, base.mean(axis=0)))
        self.levels[:, some] = np.where(bad, filled + base, values)

    def _variance_at(self, some, base=0.0):
        """A function that gives the mean variance at a signal (M,) of ``some`` pixels, minus a level ``base``."""

        def variance_of(signal):
            image = np.zeros(some.shape, np.float32)
            image[some] = signal + base
            return np.broadcast_to(self.variance_of(image), some.shape)[some]

        return variance_of

    def _fill_bad_of_common(self, cube):
        """Replace bad values of exposures at the level of the common image by the median of the others, in place.

        The values that replaced them before are at the level of the other exposures, which may have another response.
        Of exposures that are shifted, they show another part of the scene.
        """
        if self.bad is None or not (self.has_terms or any(map(any, self.steps))):
            return
        bad = stacked(moved(self.bad[i], (-dx, -dy)) for i, (dx, dy) in enumerate(self.steps))
        some = bad.any(axis=0) & ~bad.all(axis=0)
        if some.any():
            cube[:, some] = with_bad_filled(cube[:, some], bad[:, some], self._variance_at(some))

    def leave_out_hot(self):
        """Replace hot pixels of the exposures by the pixels around: their charge does not move with the scene."""
        # the copy also allows for a cube that is read by rows
        self.levels = copied_levels(self.levels)
        self.hot = leave_out_hot(self.levels, self.steps, self.variance_of)

    def common_with_hot(self, contrast):
        """The common image with the hot pixels."""
        common = self.common(contrast).copy()
        if self.hot is not None:
            places, charges = self.hot
            common[places] += charges
        return common

    def start_moved(self):
        """First common image of exposures that are shifted by a pixel or more: their median after a shift back."""
        cube = np.stack([
            moved((level - background) / np.float32(factor), (-dx, -dy))
            for level, background, factor, (dx, dy) in zip(
                self.levels, self.backgrounds, self.factors, self.steps, strict=True
            )
        ])  # fmt: skip
        fill_what_enters(cube, self.steps)
        self._fill_bad_of_common(cube)
        sort_exposures(cube)
        common = scene_of_two(middle_of(cube), self.steps)
        self.change(common, self.variance_of(common))

    def first_levels(self, levels, share=1.0):
        """A start for the added levels of exposures (N, ny, nx): medians of the differences from the mean.

        They are measured in a share of the pixels, the faintest ones.
        """
        n = len(levels)
        if "backgrounds" not in self.names:
            return [np.float32(0)] * n
        step = max(int(np.sqrt(np.prod(levels.shape[1:]) / PIXELS_OF_LEVELS)), 1)
        some = levels[:, ::step, ::step]
        some = some / np.float32(self.factors)[:, None, None]
        mean = some.mean(axis=0)
        faint = mean <= (np.inf if share == 1 else np.quantile(mean, share))
        found = np.array([median_of_values((plane - mean)[faint]) for plane in some])
        return list(np.float32((found - np.median(found)) * self.factors))

    @property
    def has_terms(self):
        """Whether it has terms along rows and columns."""
        return any(one is not None for one in (self.gains, self.added, self.sky))

    @property
    def courses(self):
        """The courses of lines that are not straight, by the axis along them."""
        return self.settings.courses

    def follow(self, courses):
        """Use the courses of lines that are not straight, by the axis along them."""
        self.settings = replace(self.settings, courses=courses)
        # they depend on them
        self.latest = self._straight = None

    def scale(self, i, rows=slice(None)):
        """Throughput of exposure ``i``, or of some of its rows: number or image."""
        factor = np.float32(self.factors[i])
        return factor if self.gains is None else factor * (1 + self.gains[i][rows])

    def shift(self, i, rows=slice(None)):
        """What is added to exposure ``i``, or to some of its rows: number or image."""
        shift = at_pixels(self.backgrounds[i], rows) + at_pixels(self.changes[i], rows)
        for one in (self.added, self.sky):
            if one is not None:
                shift = shift + np.float32(self.factors[i]) * one[i][rows]
        return shift

    def _moved_back(self, i):
        """Exposure ``i``, of a step, minus its known differences, on the grid and at the level of the common image."""
        back = tuple(-one for one in self.steps[i])
        plane = self.levels[i] - self.backgrounds[i]
        if self.added is not None:
            plane = plane - np.float32(self.factors[i]) * self.added[i]
        plane = moved(plane, back) - self.blurs[i]
        if self.sky is not None:
            plane = plane - np.float32(self.factors[i]) * self.sky[i]
        return plane / (self.scale(i) if self.gains is None else moved(self.scale(i), back))

    def common(self, contrast, mean=False):
        """The common image: a median, or a mean of clean values if ``mean`` is set or the exposures are unlike.

        Values may differ by a share ``contrast`` of the contrast without a hit. The image must not be changed, because
        it is kept as long as all that it depends on stays: comparisons of fits ask for it repeatedly.
        """
        used = self.levels, self.factors, self.backgrounds, self.changes, self.blurs, self.gains, self.added, self.sky
        used = *used, self.steps
        if self.latest is None or any(one is not other for one, other in zip(self.latest[0], used, strict=True)):
            self.latest = used, {}
        images = self.latest[1]
        if (contrast, mean) not in images:
            if any(one != contrast for one, _ in images):
                images.clear()
            images[contrast, mean] = scene_of_two(self._new_common(contrast, mean), self.steps)
        return images[contrast, mean]

    def straight_part(self, image, axis):
        """Part of an image (ny, nx) that hardly changes along an axis, or along the course of its lines.

        It is kept for the latest image, of which several terms need it. It must not be changed.
        """
        if self._straight is None or self._straight[0] is not image:
            self._straight = image, {}
        parts = self._straight[1]
        if axis not in parts:
            parts[axis] = straight_part(image, axis, self.courses.get(axis))
        return parts[axis]

    def _cube_of_common(self):
        """Exposures (N, ny, nx) minus their known differences, of which the common image is a median or a mean."""
        cube = empty_image(self.levels.shape)
        of_step = [any(step) for step in self.steps]

        def work(rows):
            for i in np.flatnonzero(np.logical_not(of_step)):
                np.divide(self.levels[i, rows] - self.shift(i, rows), self.scale(i, rows), out=cube[i, rows])

        map_threads(work, row_bands(*cube.shape[1:]))
        for i in np.flatnonzero(of_step):
            cube[i] = self._moved_back(i)
            relax()
        fill_what_enters(cube, self.steps)
        self._fill_bad_of_common(cube)
        return cube

    def _new_common(self, contrast, mean):
        """The common image: see `common`."""
        cube = self._cube_of_common()
        if not mean and self.start is None and self.own_noises is None:
            return median_without_hits(cube, self.variance_of, contrast, self.blurs, self.courses)
        variances = self.own_variances(median_of_values(cube, axis=0))
        for variance, factor in zip(variances, np.float32(self.factors), strict=True):
            variance /= factor**2
        return mean_without_hits(cube, variances, contrast)

    def weighted_common(self, variances, contrast):
        """The common image as a mean of clean values, weighted by the variances (N, ny, nx) of the exposures."""
        cube = self._cube_of_common()
        at_common = stacked(
            moved(one / self.scale(i) ** 2, tuple(-step for step in self.steps[i])) for i, one in enumerate(variances)
        )
        return scene_of_two(mean_without_hits(cube, at_common, contrast), self.steps)

    def own_variances(self, common):
        """Variance (N, ny, nx) of each exposure at its own throughput. One below 0, in a failed fit, has no photons."""
        noises = np.ones(len(self.factors)) if self.own_noises is None else self.own_noises
        if self.start is not None and self.settings.sky_stays:
            variances = [self.variance_of(np.maximum(self._own_light(i, common), 0)) for i in range(len(noises))]
        else:
            empty = self.variance_of(np.zeros_like(common))
            photons = np.maximum(self.variance_of(common) - empty, 0)
            factors = np.ones(len(self.factors)) if self.start is None else self.factors
            variances = [empty + np.float32(max(factor, 0)) * photons for factor in factors]
        return np.stack([np.float32(noise) * one for noise, one in zip(noises, variances, strict=True)])

    def _own_light(self, i, common):
        """Signal (ny, nx) of exposure ``i`` at its throughput and surface, electrons."""
        return np.float32(self.factors[i]) * common + self.backgrounds[i]

    def misfit(self, some=True):
        """Sum of the squared residuals of the exposures over their variances; a limit reduces the effect of hits.

        It is the sum over all pixels, or over ``some``, bool (ny, nx).
        """
        common, total = self.common(CONTRAST[-1]), 0.0
        for i, variance in enumerate(self.own_variances(common)):
            squares = (self.levels[i] - self.shift(i) - self.scale(i) * common) ** 2 / variance
            known = some if self.bad is None else some & ~self.bad[i]
            total += np.minimum(squares, CLIP_SIGMA**2).sum(dtype=np.float64, where=known)
        return float(total)

    def change(self, common, variance):
        """The changes by shift and seeing, without noise."""
        noise, scene = np.float32(OF_MEDIAN / len(self.levels)) * variance, common
        moved_by_pixels = any(map(any, self.steps))
        if self.kernels.any() or moved_by_pixels:
            scene = without_hot(common, variance, noise, moved_by_pixels)
        unknown, objects = self._beside_unknown() if moved_by_pixels else None, objects_of(self, scene)
        at_edges = {}

        def work(i):
            factor, step = np.float32(self.factors[i]), self.steps[i]
            of_place = self.drifts[i], self.varying[i], self.positions
            blur, own, by_edges = change_by_kernel(with_own_sky(self, i, objects[i]), noise, self.kernels[i], *of_place)
            if np.ndim(blur) and not any(step):
                left = self._left(i, common, blur)
                if self.has_edges:
                    by_edges = as_far_as_seen(by_edges, left, variance)
                at_edges[i] = [[strip.copy() for strip in edge_strips(one)] for one in (by_edges, left)]
            own = own + by_edges
            if unknown is not None and np.ndim(blur):
                own = own + np.where(unknown, np.square(blur), 0)
            change = blur
            if any(step):
                change, own = change_by_step(with_own_sky(self, i, scene), noise, blur, own, factor, step)
            if sum(split_kernel(self.kernels[i])[3:5]) > WIDER:
                left = self._left(i, common, change)
                add_light_from_beyond(own, left, variance, factor * common, factor**2 * noise)
            return kept((blur, change, own))

        found = map_images(work, range(len(self.levels)))
        self.blurs, self.changes, self.noises = map(list, zip(*found, strict=True))
        if at_edges:
            # in order, so that sums do not depend on the threads
            numbers = sorted(at_edges)
            errors, lefts = zip(*(at_edges[i] for i in numbers), strict=True)
            lower_edge_errors([self.noises[i] for i in numbers], errors, lefts, variance)
        if moved_by_pixels:
            self._add_unseen(common, variance)

    def _beside_unknown(self):
        """Pixels (ny, nx) of the common image to which a kernel brings light that no exposure shows; None if none."""
        if self.bad is None:
            return None
        nowhere = np.ones(self.levels.shape[1:], dtype=bool)
        for plane, (dx, dy) in zip(self.bad[:, :], self.steps, strict=True):
            nowhere &= moved(plane, (-dx, -dy))
        return dilate(nowhere, SIZE // 2) if nowhere.any() else None

    def _add_unseen(self, common, variance):
        """Add the light of a scene that the common image does not show to the variances of the changes.

        Of three or more exposures, values that are too low there show their error, as elsewhere. Of two exposures, the
        other one would seem to be hit.
        """
        shown, alike = shown_by_two(common.shape, self.steps), {}
        for i, step in enumerate(self.steps):
            alike.setdefault(step, []).append(i)
        for step, some in alike.items():
            unseen = unseen_pixels(common.shape, step, shown)
            corners = self._corners_of(step, common.shape)
            unseen[corners] = True
            if not unseen.any():
                continue
            for i in some:
                if not np.ndim(self.noises[i]):
                    # no kernel, and no shift by a pixel
                    self.noises[i] = zero_image(common.shape)
            of_value = moved(variance, step)
            lights = (self._unseen_of(i, common, of_value, unseen, corners) for i in some)
            add_unseen([self.noises[i] for i in some], lights)

    def _corners_of(self, step, shape):
        """Rows and columns of the pixels of `corners_of_one` in an exposure of a step (dx, dy)."""
        rows, columns, _ = corners_of_one(shape, self.steps)
        rows, columns = rows + step[1], columns + step[0]
        inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        return rows[inside], columns[inside]

    def _unseen_of(self, i, common, variance, unseen, corners):
        """Light (ny, nx) of exposure ``i`` in unseen pixels, those of its ``corners`` too."""
        left = self._left(i, common, self.changes[i])
        light = unseen_light(np.abs(left) if len(self.levels) == 2 else left.clip(0), unseen)
        expected = self.scale(i) * common + self.changes[i]
        known = unseen, expected, variance, np.float32(OF_MEDIAN / len(self.levels)) * variance
        most = most_light(light, *known)
        if len(corners[0]):
            most[corners] = most_light_in_corners(light, corners, *known)
        return most

    def _left(self, i, common, change):
        """Exposure ``i`` minus what is expected of it for a common image and a change (ny, nx)."""
        left = self.levels[i] - self.backgrounds[i] - self.scale(i) * common - change
        for one in (self.added, self.sky):
            if one is not None:
                left = left - np.float32(self.factors[i]) * one[i]
        return left

    def result(self):
        """The `Differences`."""
        return found_differences(self)


def copied_levels(levels):
    """A copy of a cube, which may be one that is read by rows."""
    copy = empty_image(levels.shape)
    for rows in row_bands(*levels.shape[1:]):
        copy[:, rows] = levels[:, rows]
        relax()
    return copy
