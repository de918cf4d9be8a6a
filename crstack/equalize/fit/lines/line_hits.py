"""Hits in exposures in which a line or a trace is brighter than in others."""

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.lines.straight_lines import BLOCK, straight_blocks, straight_part
from crstack.equalize.fit.surfaces import linear_weights
from crstack.utils.pixels import dilate, extreme_along

__all__ = ["LineHits"]

#: window (pixels) across a line, in which its height is measured
ACROSS = 51
#: largest tilt of a line (pixels across it), and pixels along it that must be brighter, because no hit is so long
TILT, LONG = 7, 264
#: least share of this length, or of a shorter row, that looks hit in a row that is examined
SHARE = 0.25
#: in a short row, that share may be one hit: at least as many pixels, or this share of the row, look hit
PIXELS, OF_SHORT = 32, 0.75
#: a tilted line leaves a row after few pixels at an edge. Its end is examined if this share of so many pixels at the
#: edge looks hit
SHARE_OF_END, END = 0.75, 16
#: the end reaches so far from the edge. In as many pixels after it, at most this share may look hit within so many
#: pixels across: a trace that was moved looks hit in all of its length
REACH, SHARE_BEYOND, BEYOND = 64, 0.5, 15
#: largest excess of such an end, as a share of its height: that of a trace that was moved is larger
OF_HEIGHT = 0.3
#: length (pixels) of a shorter piece of a line that is in the image
SHORTEST = 12
#: a line may be brighter by at most this factor of its height in the common image, which may be that of its faintest
#: exposure
BRIGHTER = 8.0
#: window (pixels) across a line: an exposure that is shifted is brighter beside a line of the common image
BESIDE = 5
#: least height of such a line, as a share of the largest excess without a hit: lower ones may be noise
CLEAR = 1.0
#: the same of a line beside
CLEAR_BESIDE = 2.0


class LineHits:
    """Find values that are too high.

    A line that is brighter in one exposure is not a hit. It is brighter along all of its length, and it is a line of
    the common image, too.

    Parameters
    ----------
    common, limit : `~numpy.ndarray`
        (ny, nx) common image, and largest excess over it of a value without a hit.
    courses : mapping, optional
        The `~crstack.equalize.fit.lines.courses.Course` of lines along an axis, by axis, where they are not straight.
    """

    def __init__(self, common, limit, courses=None):
        self._limit = limit
        self._common = common
        self._courses = courses or {}
        self._along = {}

    def hits_in(self, left):
        """The hits as a mask (ny, nx).

        Parameters
        ----------
        left : `~numpy.ndarray`
            (ny, nx) exposure minus what is expected of it.
        """
        return self._hits_and_lines(left)[0]

    def replace_in(self, left):
        """Replace hits and their faint rims by the level of the lines that are brighter there, or by 0.

        With 0 everywhere, a line below a track would look as bright as in the other exposures.

        Parameters
        ----------
        left : `~numpy.ndarray`
            (ny, nx) exposure minus what is expected of it; changed in place.
        """
        hit, lines = self._hits_and_lines(left)
        hit = dilate(hit, 1)
        left[hit] = lines[hit]

    def _hits_and_lines(self, left):
        """The hits as a mask, and the level of lines that are brighter in the exposure, (ny, nx)."""
        hit, lines = left > self._limit, np.zeros_like(left)
        for axis in "xy":
            course = self._courses.get(axis)
            arrays = (hit, left, lines) if axis == "x" else (hit.T, left.T, lines.T)
            if course is None:
                self._keep_over_lines(*arrays, axis)
            else:
                self._keep_over_curved(*arrays, axis, course)
        return hit, lines

    def _keep_over_lines(self, hit, left, lines, axis):
        """Keep the hits that exceed the lines along an axis, and note the level of these lines, both in place.

        Rows are along the axis.
        """
        rows = _rows_mostly_hit(hit)
        if len(rows):
            limit = self._height_and_limit(axis)[1]
            brighter = self._brighter(left, rows, axis)
            hit[rows] &= left[rows] - brighter > limit[rows]
            # where hits are left all along, no line explains them: an object was moved there
            brighter[np.isin(rows, _rows_mostly_hit(hit))] = 0
            lines[rows] = np.maximum(lines[rows], brighter)
        for side in (np.s_[:, :], np.s_[:, ::-1]):
            self._keep_over_ends(hit[side], left[side], axis, side)

    def _keep_over_ends(self, hit, left, axis, side):
        """Keep the hits that exceed the ends of tilted lines at the start of the rows, in place.

        What an end is brighter by than the rest of its line was replaced by 0 in what lines are fitted to. No later
        round of the fit could find it.
        """
        ends = _hit_at_start(hit)
        if ends.any():
            # no straight part of the common image is needed for a hit on the empty sky
            ends &= self._bright_at_start(axis, side)
        if ends.any():
            rows = np.flatnonzero(ndimage.maximum_filter1d(ends, TILT))
            height, limit = (one[side][rows, :REACH] for one in self._height_and_limit(axis))
            brighter = np.maximum(_brighter_along(left[rows])[:, :REACH], 0)
            brighter[brighter > OF_HEIGHT * height] = 0
            hit[rows, :REACH] &= left[rows, :REACH] - brighter > limit

    def _bright_at_start(self, axis, side):
        """Whether light at the start of the rows is as bright as a line that exceeds the limit there, bool (ny,)."""
        common, limit = (one if axis == "x" else one.T for one in (self._common, self._limit))
        common, limit = (one[side][:, :END].mean(axis=1) for one in (common, limit))
        return OF_HEIGHT * (common - extreme_along(common, ACROSS, 0, np.minimum)) > limit

    def _keep_over_curved(self, hit, left, lines, axis, course):
        """The same where lines have a course that is not straight."""
        rows = _rows_mostly_hit(course.taken(hit.T).T, course.lengths)
        if len(rows):
            limit = self._limit if axis == "x" else self._limit.T
            straight = np.zeros((course.width, hit.shape[1]), np.float32)
            straight[rows] = self._brighter(course.straightened(left.T).T, rows, axis)
            hit &= left - course.bent(straight.T).T > limit
            straight[_rows_mostly_hit(course.taken(hit.T).T, course.lengths)] = 0
            np.maximum(lines, course.bent(straight.T).T, out=lines)

    def _brighter(self, left, rows, axis):
        """Level (n, nx) of the lines in some rows, as far as lines of the common image may be brighter."""
        height, limit = self._height_and_limit(axis)
        beside = extreme_along(height, BESIDE, axis=0)[rows]
        height = height[rows]
        most = np.where(height > CLEAR * limit[rows], BRIGHTER * height, height)
        most = np.where(beside > CLEAR_BESIDE * limit[rows], BRIGHTER * beside, most)
        return np.clip(_brighter_along(left[rows]), 0, most)

    def _height_and_limit(self, axis):
        """Height of lines along an axis over what is beside them, and the limits there; rows are along the axis."""
        if axis not in self._along:
            common, limit = (one if axis == "x" else one.T for one in (self._common, self._limit))
            course = self._courses.get(axis)
            if course is not None:
                common, limit = course.straightened(common.T).T, course.taken(limit.T, np.inf).T
            part = straight_part(common, "x")
            self._along[axis] = part - extreme_along(part, ACROSS, 0, np.minimum), limit
        return self._along[axis]


def _rows_mostly_hit(hit, lengths=None):
    """Numbers (n,) of the rows that look hit in a large part of the length of a line, and of those beside.

    Rows may have ``lengths`` (ny,) of their own.
    """
    length = hit.shape[1] if lengths is None else np.maximum(lengths, SHORTEST)
    least = np.maximum(SHARE * np.minimum(LONG, length), np.minimum(PIXELS, OF_SHORT * length))
    mostly = np.count_nonzero(hit, axis=1) >= least
    return np.flatnonzero(ndimage.maximum_filter1d(mostly, TILT))


def _hit_at_start(hit):
    """Whether rows look hit at their start and hardly further along, bool (ny,)."""
    ends = np.count_nonzero(hit[:, :END], axis=1) >= SHARE_OF_END * END
    if hit.shape[1] < 2 * REACH:
        return np.zeros_like(ends)
    if ends.any():
        further = extreme_along(hit[:, REACH : 2 * REACH], BEYOND, axis=0)
        ends &= np.count_nonzero(further, axis=1) <= SHARE_BEYOND * REACH
    return ends


def _brighter_along(left):
    """Level (n, nx) of long lines along x in some rows of the residual of an exposure."""
    medians, centres = straight_blocks(left.T)
    highest = extreme_along(medians, TILT, axis=1)
    length = min(LONG // BLOCK, len(highest))
    long = ndimage.median_filter(highest, (length, 1), mode="nearest")
    return (linear_weights(centres, left.shape[1]) @ np.minimum(medians, long)).astype(np.float32).T
