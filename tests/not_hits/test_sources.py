"""Sources that only some exposures show: reported by exposure and place, with a code of their own."""

import re
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import Code, CRStack, MaskSet
from crstack.datasets import make_stack
from crstack.datasets.hits import POPULATIONS, make_hits
from crstack.exceptions import CRStackWarning
from crstack.masks.features import find_features
from crstack.not_hits.gaussians import fit_gaussians
from crstack.not_hits.sources import find_sources, no_sources, sentence_of_sources

SHAPE = (160, 200)
#: column and row from 0, and electrons
SOURCES = ((50.3, 40.0, 2e4), (150.0, 99.6, 8e3))


def light_of(x, y, flux, length=0.0, width=1.2):
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    steps = np.linspace(-length / 2, length / 2, 9)
    return np.mean(
        [
            flux / (2 * np.pi * width**2) * np.exp(-((columns - x - s) ** 2 + (rows - y) ** 2) / (2 * width**2))
            for s in steps
        ],
        axis=0,
    )


def exposures_with(n=3, which=1, sources=SOURCES, rate=0.01, **options):
    """Exposures in electrons of a star, of which one holds sources."""
    rng = np.random.default_rng(6)
    light = np.stack([100.0 + light_of(100, 80, 5e4)] * n)
    light[which] += sum(light_of(*one, **options) for one in sources)
    hits = np.stack([make_hits(SHAPE, rate, rng) for _ in range(n)])
    cube = rng.poisson(light) + rng.normal(0, 4, light.shape) + hits
    return [CCDData(plane, unit="electron") for plane in cube], hits


def detect(images, method="joint"):
    stack = CRStack(images, readnoise=4 * u.electron)
    return stack.detect(method, aux=None)


@pytest.mark.parametrize(("n", "method"), [(2, "joint"), (3, "joint"), (5, "joint"), (3, "mmcosmic")])
def test_sources_are_reported_by_exposure_and_place(n, method):
    images, _ = exposures_with(n)
    with pytest.warns(
        CRStackWarning, match="2 flagged features have the shape of a source .* exposure 2 at \\(51"
    ) as w:
        masks = detect(images, method)
    text = str(w[0].message)
    assert "show, in exposure 2: an asteroid, a transient, a nod, another field, or an exposure that is not" in text
    assert "aligned or whose stars are trailed? " in text
    table = masks.sources
    table.sort("flux", reverse=True)
    assert table["exposure"].tolist() == [2, 2]
    for row, (x, y, flux) in zip(table, SOURCES, strict=True):
        assert abs(row["x"].value - x - 1) < 0.1
        assert abs(row["y"].value - y - 1) < 0.1
        assert row["flux"].unit == u.electron
        assert abs(row["flux"].value / flux - 1) < 0.05
        assert abs(row["fwhm_minor"].value / (1.2 * 2.3548) - 1) < 0.1
        assert masks.codes["CRMASK2"][round(y), round(x)] == Code.SOURCE
        assert masks.codes["MEANCRT"][round(y), round(x)] == Code.SOURCE
    counts = {row["name"]: row for row in masks.counts()}
    assert counts["CRMASK2"]["source"] == table["n_pixels"].sum()
    assert counts["CRMASK1"]["source"] == 0
    # no row in the tables of hits
    for name in ("CRMASK2", "MEANCRT"):
        hits = find_features(masks, name=name)
        for x, y, _ in SOURCES:
            assert not ((np.hypot(hits["xcentroid"] - x - 1, hits["ycentroid"] - y - 1)) < 1).any()


def test_the_sentence_of_many_sources_has_the_advice_first_and_few_places():
    """The brightest of each exposure, then the next ones; the rest as a number."""
    names = [f"night/exposure_{i}.fits" for i in (1, 2, 3)]
    table = no_sources()
    for k in range(15):
        table.add_row((1 if k else 3, 10.0 + k, 20.0, 1e4 + 1000 * k, 12, 3.0, 3.0))
    table["flux"] = table["flux"] << u.electron
    for name in ("x", "y"):
        table[name].unit = "pix"
    text = sentence_of_sources(table, names)
    assert text.startswith(
        "15 flagged features have the shape of a source that only some exposures show, in 2 exposures"
    )
    assert re.findall(r"\((\d+)\.0, 20\.0\)", text) == ["24", "10", "23"]
    assert "exposure_1.fits at (24.0, 20.0) with 24000 electron" in text
    assert text.index("trailed?") < text.index("(24.0")
    assert text.endswith("and 12 more (in Python: masks.sources)")
    assert len(text) < 500


def test_a_trailed_asteroid_is_a_source():
    images, _ = exposures_with(sources=[(60, 40, 2e4)], length=6.0)
    with pytest.warns(
        CRStackWarning, match="^1 flagged feature has the shape of a source .* in exposure 2: .* It is masked"
    ):
        table = detect(images).sources
    assert table["fwhm_major"][0] > 1.5 * table["fwhm_minor"][0]


def test_codes_are_kept_by_thresholds_and_files(tmp_path):
    images, _ = exposures_with()
    with pytest.warns(CRStackWarning, match="source"):
        masks = detect(images)
    known = masks.codes["CRMASK2"] == Code.SOURCE
    masks.write(tmp_path / "masks.fits")
    for other in (masks.threshold(0.5), MaskSet.read(tmp_path / "masks.fits")):
        np.testing.assert_array_equal(other.codes["CRMASK2"] == Code.SOURCE, known & other["CRMASK2"])
        assert (other.codes["CRMASK2"] == Code.SOURCE).sum() > 0.9 * known.sum()


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("scene", ["imaging", "slit", "echelle"])
def test_hits_are_no_sources(scene, population):
    """Every hit pixel is flagged here: no feature has the shape of a source."""
    simulated = make_stack(
        scene, (300, 400), 3, hit_rate=0.02, population=population, seed=8, gain=1 * u.electron / u.adu
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias)
    table, planes = find_sources(lambda i: simulated.hits[i] > 0, stack.exposures)
    assert len(table) == 0
    assert planes == {}
    assert sentence_of_sources(table, ()) is None


def test_a_star_that_is_sharper_in_one_exposure_is_no_source():
    rng = np.random.default_rng(2)
    light = np.stack([100 + light_of(100, 80, 5e4, width=width) for width in (1.6, 1.6, 1.3)])
    images = [CCDData(rng.poisson(one) + rng.normal(0, 4, SHAPE), unit="electron") for one in light]
    stack = CRStack(images, readnoise=4 * u.electron)
    flagged = np.zeros((3, *SHAPE), dtype=bool)
    flagged[2, 77:84, 97:104] = True
    assert len(find_sources(lambda i: flagged[i], stack.exposures)[0]) == 0


def test_gaussians_are_recovered():
    rows, columns = np.mgrid[-6:7, -6:7]
    angle, major, minor = np.radians(30), 2.0, 1.1
    along = (columns - 0.4) * np.cos(angle) + (rows + 0.7) * np.sin(angle)
    across = (rows + 0.7) * np.cos(angle) - (columns - 0.4) * np.sin(angle)
    image = 50 * np.exp(-0.5 * ((along / major) ** 2 + (across / minor) ** 2))
    found = fit_gaussians(np.stack([image, 2 * image]), np.zeros(2))
    for name, value in (("x", 0.4), ("y", -0.7), ("major", major), ("minor", minor)):
        np.testing.assert_allclose(getattr(found, name), value, rtol=0.02)
    np.testing.assert_allclose(found.amplitude, [50, 100], rtol=0.02)
    np.testing.assert_allclose(found.flux, 2 * np.pi * major * minor * np.array([50, 100]), rtol=0.03)
    assert (found.misfit < 1e-3).all()
    # a straight track is none
    track = np.zeros((1, 13, 13))
    track[0, 6, 3:10] = 100
    assert fit_gaussians(track, np.zeros(1)).minor[0] < 0.5


@pytest.mark.parametrize("place", [(0, 6), (6, 0), (-5, 3)])
def test_light_beyond_the_radius_is_no_misfit(place):
    rows, columns = np.mgrid[-6:7, -6:7]
    image = 50 * np.exp(-0.5 * (rows**2 + columns**2) / 1.5**2)
    near, far = image.copy(), image.copy()
    far[place[0] + 6, place[1] + 6] += 100
    near[9, 9] += 100
    found = fit_gaussians(np.stack([far, near]), np.zeros(2))
    assert found.misfit[0] < 0.01
    assert found.misfit[1] > 0.3


def test_noise_is_no_misfit_of_a_faint_gaussian():
    rng = np.random.default_rng(4)
    rows, columns = np.mgrid[-6:7, -6:7]
    image = 8 * np.exp(-0.5 * (rows**2 + columns**2) / 1.5**2)
    found = fit_gaussians(image + rng.standard_normal((300, 13, 13)), np.ones(300))
    # the noise of 69 pixels is 0.15 of the squared light
    assert abs(np.mean(found.misfit)) < 0.03


def test_no_gaussian_describes_an_image_without_values():
    """Where the other exposures are bad, an image has no values."""
    found = fit_gaussians(np.zeros((1, 15, 15)), np.full(1, 116.0))
    assert (found.amplitude[0], found.misfit[0]) == (0, np.inf)
