"""Several detectors at once, and detectors on single images."""

from dataclasses import dataclass

import astropy.units as u
import ccdproc
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from numpy.testing import assert_array_equal
from support.stacks import stack_of

from crstack import (
    Detection,
    Detector,
    JointPosterior,
    LACosmicDetector,
    MaskSet,
    NoiseModel,
    PyCosmicDetector,
    VotingDetector,
)
from crstack.exceptions import InputError
from crstack.masks import Code
from crstack.masks.votes import bits_by_mask, bits_of_exposures, counts_of_detectors

NOISE = NoiseModel(2.0 * u.electron / u.adu, 5 * u.electron)
DETECTORS = (LACosmicDetector(objlim=1.0), PyCosmicDetector(), PyCosmicDetector(rlim=3.0))


@dataclass(frozen=True)
class Columns(Detector):
    """Flags some columns; replaces them by a value if there is one."""

    columns: tuple
    value: float | None = None

    @property
    def cleans(self):
        return self.value is not None

    def detect(self, image, noise, mask=None):
        found = np.zeros(image.shape, dtype=bool)
        found[:, list(self.columns)] = True
        cleaned = np.where(found, self.value, image).astype(np.float32) if self.cleans else None
        return Detection(found, cleaned)


A, B, C = Columns((0, 1, 2), 10.0), Columns((1, 2, 3), 20.0), Columns((2, 3, 4))


@pytest.mark.parametrize(
    ("vote", "columns", "cleans"),
    [("any", (0, 1, 2, 3, 4), False), (1, (0, 1, 2, 3, 4), False), (2, (1, 2, 3), True), ("all", (2,), True)],
)
def test_votes(vote, columns, cleans):
    image = np.ones((3, 6), np.float32)
    detector = VotingDetector([A, B, C], vote)
    detection = detector.detect(image, NOISE)
    assert_array_equal(np.flatnonzero(detection.mask[1]), columns)
    assert_array_equal(detection.found_by[1], [1, 3, 7, 6, 4, 0])
    assert detector.cleans == cleans
    if cleans:
        # the first cleaning detector that flagged a pixel gives its value
        expected = np.where(detection.mask[1], [10, 10, 10, 20, 0, 0], 1)
        assert_array_equal(detection.cleaned[1], expected)
    else:
        assert detection.cleaned is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([A],), "detectors must be 2 to 8; got 1"),
        (([A] * 9,), "detectors must be 2 to 8; got 9"),
        (([A, "lacosmic"],), "detector 2 must be a single Detector; got 'lacosmic'"),
        (([A, B], "most"), "vote must be any, all or a number of detectors; got 'most'"),
        (([A, B], 3), "vote must be an integer at least 1 and at most 2; got 3"),
    ],
)
def test_wrong_votes(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        VotingDetector(*arguments)


def test_stacks_take_several(simulated, stack, tmp_path):
    masks = stack.detect(aux=["lacosmic", PyCosmicDetector()], vote="any", boundary=None)
    alone = [stack_of(simulated).detect(aux=one, boundary=None) for one in ("lacosmic", "pycosmic")]
    assert masks.detectors == ("LACosmicDetector", "PyCosmicDetector")
    for number, other in enumerate(alone):
        bit = 1 << number
        assert_array_equal((masks.found_by["MEDIANCR"] & bit) > 0, other["MEDIANCR"])
        # the union may flag more pixels in the mean
        assert not (other["CRMASK1"] & ((masks.found_by["CRMASK1"] & bit) == 0)).any()
    count = np.count_nonzero(masks.found_by["CRMASK2"] & 2)
    assert count > 0
    assert masks.steps["CRMASK2"]["auxiliary detector 2, PyCosmicDetector, flagged"] == count
    masks.write(tmp_path / "masks.fits")
    again = MaskSet.read(tmp_path / "masks.fits")
    assert again.detectors == masks.detectors
    for name in masks:
        assert_array_equal(again.found_by[name], masks.found_by[name])


def test_codes_stay_those_of_the_design(stack):
    both = stack.detect(aux=DETECTORS[:2], vote="all")
    for name, codes in both.codes.items():
        assert codes.max() <= 5
        auxiliary = (codes == 3) | (codes == 4)
        assert_array_equal(both.found_by[name] > 0, auxiliary)
        if name not in ("MEANCRT",):
            assert_array_equal(both.found_by[name][auxiliary], 3)
    union = stack.detect(aux=DETECTORS[:2])
    assert union["MEDIANCR"].sum() >= both["MEDIANCR"].sum()


def test_who_found_a_pixel_of_the_median_counts_in_the_mean():
    codes = {name: np.zeros((1, 4), np.uint8) for name in ("MEDIANCR", "MEANCRT", "CRMASK1", "MEANCR")}
    codes["MEDIANCR"][:] = [[3, 0, 2, 1]]
    codes["MEANCRT"][:] = [[3, 4, 2, 1]]
    found_by = {name: np.zeros((1, 4), np.uint8) for name in codes}
    found_by["MEDIANCR"][:] = [[1, 1, 1, 1]]
    found_by["MEANCRT"][:] = [[2, 2, 2, 2]]
    bits = bits_by_mask(codes, found_by)
    assert_array_equal(bits["MEDIANCR"], [[1, 0, 0, 0]])
    assert_array_equal(bits["MEANCRT"], [[3, 3, 0, 0]])
    names = {f"auxiliary detector {n}, {name}, flagged": 2 for n, name in ((1, "A"), (2, "B"))}
    assert counts_of_detectors(bits["MEANCRT"], ("A", "B")) == names


def test_the_joint_decision_tells_who_found_a_pixel(simulated, stack, tmp_path):
    joint = JointPosterior()
    masks = stack.detect(aux=DETECTORS[:2], method=joint)
    alone = [stack_of(simulated).detect(joint, aux=one) for one in DETECTORS[:2]]
    assert masks.detectors == ("LACosmicDetector", "PyCosmicDetector")
    assert masks["CRMASK1"].sum() > 0
    told = {name: masks.found_by[name] for name in ("CRMASK1", "CRMASK2", "CRMASK3")}
    for name, bits in told.items():
        auxiliary = (masks.codes[name] == Code.AUXILIARY) | (masks.codes[name] == Code.BOTH)
        assert_array_equal(bits > 0, auxiliary)
        for number in range(2):
            # the odds depend on the detector, so that a few faint pixels differ
            both = masks[name] & alone[number][name]
            found = alone[number].codes[name] == Code.BOTH
            assert_array_equal((bits & (1 << number) > 0)[both], found[both])
    assert set(np.unique(np.array(list(told.values())))) == {0, 1, 2, 3}
    assert_array_equal(masks.found_by["MEANCRT"], np.bitwise_or.reduce(list(told.values())))
    twice = masks["MEDIANCR"] & (masks.codes["MEDIANCR"] == Code.BOTH)
    assert_array_equal(masks.found_by["MEDIANCR"][twice], masks.found_by["MEANCRT"][twice])
    assert twice.any()
    assert_array_equal(masks.found_by["MEANCR"] > 0, masks.codes["MEANCR"] == Code.AUXILIARY)
    masks.write(tmp_path / "masks.fits")
    assert_array_equal(MaskSet.read(tmp_path / "masks.fits").found_by["CRMASK2"], told["CRMASK2"])
    # a pixel without enough votes in an exposure does not count in the mean either
    won = stack.detect(aux=DETECTORS[:2], method=joint, vote="all").found_by["MEANCRT"]
    assert set(np.unique(won)) == {0, 3}


def test_only_what_counts_of_an_exposure_counts_in_the_others():
    found_by = [np.array([[1, 2, 3]], np.uint8), np.array([[2, 2, 0]], np.uint8)]
    found = np.array([[[True, False, True]], [[False, True, False]]])
    by_mask = bits_of_exposures(found_by, found)
    assert_array_equal(by_mask["CRMASK1"], [[1, 0, 3]])
    assert_array_equal(by_mask["CRMASK2"], [[0, 2, 0]])
    for name in ("MEDIANCR", "MEANCRT"):
        assert_array_equal(by_mask[name], [[1, 2, 3]])


def test_one_detector_is_searched_once(stack, monkeypatch):
    calls = []
    detect = PyCosmicDetector.detect
    monkeypatch.setattr(
        PyCosmicDetector, "detect", lambda self, *arguments: calls.append(self) or detect(self, *arguments)
    )
    stack.detect(aux=DETECTORS[1], boundary=None)
    before = len(calls)
    stack.detect(aux=DETECTORS, boundary=None)
    # detections of one detector in median, mean and exposures are stored; the others are computed
    assert len(calls) - before == 2 + 3 + 2


def test_wrong_lists(stack):
    with pytest.raises(InputError, match="vote must be left out where there is one detector; got 'all'"):
        stack.detect(aux="lacosmic", vote="all")
    with pytest.raises(InputError, match="detectors must be 2 to 8; got 0"):
        stack.detect(aux=[])


# single images of astropy and ccdproc


def image_with_hit():
    rng = np.random.default_rng(0)
    data = rng.normal(50, 2, (40, 50)).astype(np.float32)
    data[20, 30] += 2000
    return CCDData(data, unit=u.adu, meta={"OBJECT": "field"})


def test_a_detector_on_one_image():
    ccd = image_with_hit()
    ccd.mask = np.zeros(ccd.shape, dtype=bool)
    ccd.mask[5, 5] = True
    ccd.data[6, 6] = np.nan
    before = ccd.copy()
    flagged = LACosmicDetector()(ccd, NOISE)
    assert isinstance(flagged, CCDData)
    assert flagged.flags[20, 30]
    assert flagged.flags.sum() == 1
    assert flagged.mask.sum() == 2
    assert flagged.header["OBJECT"] == "field"
    assert_array_equal(flagged.data, before.data)
    assert_array_equal(ccd.data, before.data)
    assert_array_equal(ccd.mask, before.mask)
    assert ccd.flags is None
    cleaned = LACosmicDetector()(ccd, NOISE, clean=True)
    assert abs(cleaned.data[20, 30] - 50) < 10
    assert_array_equal(np.delete(cleaned.data.ravel(), 20 * 50 + 30), np.delete(before.data.ravel(), 20 * 50 + 30))


def test_the_uncertainty_of_the_image_counts():
    ccd = image_with_hit()
    ccd.uncertainty = StdDevUncertainty(np.full(ccd.shape, 1000.0))
    assert not LACosmicDetector()(ccd, NOISE).flags.any()


def test_wrong_images():
    ccd = image_with_hit()
    electrons = NoiseModel(None, 5 * u.electron, u.electron)
    for call, sentence in (
        (lambda: LACosmicDetector()(ccd.data, NOISE), "ccd must be a CCDData; got ndarray"),
        (lambda: LACosmicDetector()(ccd, electrons), "ccd must be in the unit of its noise, electron; got adu"),
        (lambda: LACosmicDetector()(ccd, 5), "noise must be a NoiseModel, such as NoiseModel.*; got int"),
        (lambda: Columns((1,))(ccd, NOISE, clean=True), "clean must be False for Columns, which does not clean"),
        (lambda: LACosmicDetector()(CCDData(np.ones(5), unit="adu"), NOISE), "ccd must be a 2-D image; got 1"),
    ):
        with pytest.raises(InputError, match=sentence):
            call()


def test_to_combiner(simulated, stack):
    masks = stack.detect(aux="pycosmic")
    combiner = stack.to_combiner()
    assert isinstance(combiner, ccdproc.Combiner)
    mean = combiner.average_combine()
    clean = ~masks.problematic
    expected = stack.combine("meancr", masks=masks).data
    np.testing.assert_allclose(mean.data[clean], expected[clean], rtol=1e-4, atol=1e-3)
    assert_array_equal(mean.mask, masks.problematic)
    assert mean.unit == u.adu
    # also with given masks, which include bad pixels
    exposures = [ccd.copy() for ccd in simulated.exposures]
    exposures[1].mask = np.zeros(exposures[1].shape, dtype=bool)
    exposures[1].mask[7, 9] = True
    other = stack_of(type("Copy", (), {**vars(simulated), "exposures": exposures}))
    assert other.to_combiner(masks=masks).data_arr.mask[1][7, 9]


def test_to_combiner_of_other_masks(stack):
    names = ("MEDIANCR", "MEANCRT", "CRMASK1", "MEANCR")
    masks = MaskSet({name: np.zeros((5, 5), np.uint8) for name in names})
    with pytest.raises(InputError, match=r"masks must be of 3 exposures of shape \(150, 180\); got 1 of \(5, 5\)"):
        stack.to_combiner(masks=masks)
