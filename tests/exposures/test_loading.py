"""Loading of exposures: units, bias, masks, uncertainties, files."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, NDData, StdDevUncertainty, VarianceUncertainty
from astropy.utils.masked import Masked

from crstack import CRStack
from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures import load_exposures, read_exposure
from crstack.utils.memory import Workspace, limited_memory

GAIN = 2.0 * u.electron / u.adu
NOISE = {"gain": GAIN, "readnoise": 5 * u.electron}


def ccds(n=3, shape=(6, 8), value=100.0, **options):
    """Exposures of one value each, except for the last pixel: they are neither blank nor copies."""
    made = [CCDData(np.full(shape, value + i, dtype=np.float64), unit=u.adu, **options) for i in range(n)]
    for i, ccd in enumerate(made):
        ccd.data[-1, -1] += i + 1
    return made


def test_bias_is_subtracted_once_and_inputs_stay():
    inputs = ccds()
    before = [ccd.data.copy() for ccd in inputs]
    exposures = load_exposures(inputs, bias=90 * u.adu, **NOISE)
    np.testing.assert_array_equal(exposures.data[:, 0, 0], [10, 11, 12])
    assert exposures.data.dtype == np.float32
    for ccd, data in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(ccd.data, data)


def test_bias_image_and_bias_in_electrons():
    image = np.arange(48.0).reshape(6, 8) * u.adu
    exposures = load_exposures(ccds(), bias=image, **NOISE)
    np.testing.assert_allclose(exposures.data[0][:-1], 100 - image.value[:-1])
    exposures = load_exposures(ccds(), bias=20 * u.electron, **NOISE)
    assert exposures.data[0, 0, 0] == 90


@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance])
def test_all_uncertainty_classes_give_the_variance(kind):
    value = {StdDevUncertainty: 3.0, VarianceUncertainty: 9.0, InverseVariance: 1 / 9}[kind]
    inputs = ccds(uncertainty=kind(np.full((6, 8), value)))
    exposures = load_exposures(inputs, **NOISE)
    for i in range(3):
        np.testing.assert_allclose(exposures.noise_of(i).variance(exposures.data[i]), 9.0, rtol=1e-6)


def test_nan_masks_and_useless_uncertainties_are_bad():
    inputs = ccds()
    inputs[0].data[1, 1] = np.nan
    inputs[0].data[1, 2] = np.inf
    inputs[1].mask = np.zeros((6, 8), bool)
    inputs[1].mask[2, 2] = True
    sigma = np.full((6, 8), 2.0)
    sigma[3, 3] = 0
    sigma[3, 4] = np.nan
    inputs[2].uncertainty = StdDevUncertainty(sigma)
    with pytest.warns(CRStackWarning, match="uncertainties that are negative, 0 or far below .*: 1 in exposure 3"):
        exposures = load_exposures(inputs, **NOISE)
    bad = {(0, 1, 1), (0, 1, 2), (1, 2, 2), (2, 3, 3), (2, 3, 4)}
    assert set(map(tuple, np.argwhere(exposures.bad))) == bad
    assert np.isfinite(exposures.data).all()


def test_no_bad_pixels_means_no_mask():
    assert load_exposures(ccds(), **NOISE).bad is None


def test_files_with_mask_uncertainty_and_wcs(tmp_path):
    paths = []
    for i, ccd in enumerate(ccds(mask=np.eye(6, 8, dtype=bool), uncertainty=StdDevUncertainty(np.full((6, 8), 2.0)))):
        ccd.header["OBJECT"] = f"target {i}"
        ccd.header["CTYPE1"], ccd.header["CTYPE2"] = "LINEAR", "LINEAR"
        paths.append(tmp_path / f"{i}.fits")
        ccd.write(paths[-1])
    exposures = load_exposures(paths, **NOISE)
    assert exposures.bad.sum() == 18
    np.testing.assert_allclose(exposures.variances[0][0, 1], 4.0)
    assert exposures.header["OBJECT"] == "target 0"
    assert exposures.names == ("0.fits", "1.fits", "2.fits")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ("SCI", "DQ"),
            r": give ext='SCI' and dq_ext='DQ' \(command: --ext SCI --dq-ext DQ; "
            r"parameter file: extnum: SCI, dq_ext: DQ\)$",
        ),
        (("SCI", "ERR"), r": give ext='SCI' \(command: --ext SCI; parameter file: extnum: SCI\)$"),
        ((None,), r": give ext=1 \(command: --ext 1; parameter file: extnum: 1\)$"),
        (
            (None, None),
            r": give one of them, such as ext=1 \(command: --ext 1; parameter file: extnum: 1\), or, if they",
        ),
        (
            ("CHIP1", "CHIP2"),
            r"such as ext='CHIP1' .*, if they are chips of a mosaic, --ext all, or crstack.read_mosaic$",
        ),
    ],
)
def test_the_extension_to_give(tmp_path, names, words):
    path = tmp_path / "multi.fits"
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(np.ones((4, 5)), name=one) for one in names)]).writeto(path)
    with pytest.raises(InputError, match=words):
        read_exposure(path, 0, u.adu)


def test_other_extension_and_unit(tmp_path):
    path = tmp_path / "multi.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((4, 5)), name="SCI")]).writeto(path)
    assert read_exposure(path, 1, u.adu).shape == (4, 5)
    assert read_exposure(path, "SCI", u.adu).unit == u.adu
    with pytest.raises(InputError, match=r"ext must be one of 0 .*; got 7"):
        read_exposure(path, 7, u.adu)
    with pytest.raises(
        InputError, match=r"got no image \(there is one in 1 \(SCI\)\): give ext='SCI' \(command: --ext SCI;"
    ):
        read_exposure(path, 0, u.adu)
    with pytest.raises(InputError, match="unit must be given"):
        read_exposure(path, 1)


def test_bad_files(tmp_path):
    text = tmp_path / "text.fits"
    text.write_text("this is not FITS")
    with pytest.raises(InputError, match=r"must be a readable FITS file; got .* \(it does not begin as a FITS file\)$"):
        read_exposure(text, 0, u.adu)
    with pytest.raises(InputError, match="exposure must be a FITS file that exists"):
        read_exposure(tmp_path / "none.fits", 0, u.adu)


def test_plain_arrays_and_nddata_need_a_unit():
    arrays = [ccd.data for ccd in ccds()]
    assert load_exposures(arrays, unit=u.adu, **NOISE).unit == u.adu
    with pytest.raises(InputError, match="unit must be given for plain arrays"):
        load_exposures(arrays, **NOISE)
    assert load_exposures([NDData(array, unit=u.adu) for array in arrays], **NOISE).unit == u.adu
    with pytest.raises(InputError, match="exposure must have a unit"):
        load_exposures([NDData(array) for array in arrays], **NOISE)


def test_image_file_collection(tmp_path):
    from ccdproc import ImageFileCollection

    for i, ccd in enumerate(ccds()):
        ccd.write(tmp_path / f"{i}.fits")
    collection = ImageFileCollection(tmp_path)
    stack = CRStack.from_files(collection.files_filtered(include_path=True), **NOISE)
    assert len(stack) == 3
    assert len(CRStack(collection.ccds(), **NOISE)) == 3


def mixed(change):
    inputs = ccds()
    inputs[1] = change(inputs[1])
    return inputs


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (ccds(1), {}, "exposures must be 2 or more; got 1"),
        (ccds()[0], {}, "exposures must be a list of them; got a single CCDData"),
        (mixed(lambda c: c[:5]), {}, "exposures must share one shape"),
        (mixed(lambda c: CCDData(c.data, unit=u.electron)), {}, "exposures must share one unit"),
        (mixed(lambda c: CCDData(c.data * np.nan, unit=u.adu)), {}, "must have valid pixels; got none in exposure 2"),
        (mixed(lambda c: "no"), {}, "exposure must be a FITS file that exists"),
        (mixed(lambda c: c.data > 0), {"unit": u.adu}, "exposure must be an image of real numbers; got bool"),
        (mixed(lambda c: 3), {}, "exposure must be a CCDData, NDData, Quantity, array or path; got int"),
        (ccds(), {"gain": 2.0}, "gain must be a Quantity"),
        (ccds(), {"bias": 500}, "bias must be a Quantity"),
        (ccds(), {"bias": 500 * u.m}, "bias must be in adu; got m"),
        (ccds(), {"bias": np.zeros((3, 3)) * u.adu}, "bias must have the shape"),
        (ccds(), {"readnoise": np.ones((3, 3)) * u.electron}, "readnoise must have the shape"),
        (ccds(), {"readnoise": -3 * u.electron}, "readnoise must be at least 0"),
    ],
)
def test_bad_input(inputs, options, message):
    with pytest.raises(InputError, match=message):
        load_exposures(inputs, **(NOISE | options))


def test_coincidences_must_leave_one_exposure():
    with pytest.raises(InputError, match="cr_coincidences must be an integer at least 2 and at most 2; got 3"):
        CRStack(ccds(), cr_coincidences=3, **NOISE)
    with pytest.raises(InputError, match=r"cr_coincidences must be .* got 1"):
        CRStack(ccds(5), cr_coincidences=1, **NOISE)


def test_an_array_of_planes_is_a_list_of_exposures():
    cube = np.random.default_rng(1).poisson(50, (3, 20, 30)).astype(np.float32)
    options = {"unit": u.electron, "readnoise": 3 * u.electron}
    np.testing.assert_array_equal(load_exposures(cube, **options).data, load_exposures(list(cube), **options).data)
    with pytest.raises(InputError, match="exposures must be a list of them; got a single ndarray"):
        load_exposures(cube[0], **options)


def test_more_exposures_than_were_tested_give_a_warning():
    rng = np.random.default_rng(3)
    images = [rng.normal(1000, 40, (12, 13)) for _ in range(26)]
    with pytest.warns(CRStackWarning, match="up to 25 exposures; got 26"):
        load_exposures(images, unit=u.adu, **{"gain": 1 * u.electron / u.adu, "readnoise": 25 * u.electron})


def test_images_of_gain_and_read_noise_with_no_low_value():
    rng = np.random.default_rng(4)
    images = [rng.normal(1000, 30, (40, 50)) for _ in range(3)]
    gain = np.full((40, 50), 1.1) * u.electron / u.adu
    readnoise = np.full((40, 50), 4.0) * u.electron
    assert load_exposures(images, unit=u.adu, gain=gain, readnoise=readnoise).bad is None


def _masked(values, mask):
    """The same masked image, in each form that carries its mask."""
    filled = np.where(mask, np.nan, values)
    return {
        "numpy.ma": np.ma.array(values, mask=mask),
        "numpy.ma with NaN": np.ma.array(filled, mask=mask),
        "numpy.ma of one row more axes": np.ma.array(values, mask=mask)[None],
        "Masked": Masked(values, mask=mask),
        "Masked Quantity": Masked(values * u.adu, mask=mask),
        "NDData": NDData(values, unit=u.adu, mask=mask),
        "NDData of numpy.ma": NDData(np.ma.array(values, mask=mask), unit=u.adu),
        "NDData of Masked": NDData(Masked(values * u.adu, mask=mask)),
        "CCDData of numpy.ma": CCDData(np.ma.array(values, mask=mask), unit=u.adu),
        "NDData, mask of numpy.ma": NDData(values, unit=u.adu, mask=np.ma.array(np.zeros(mask.shape, bool), mask=mask)),
    }


@pytest.mark.parametrize("kind", _masked(np.ones((2, 2)), np.eye(2, dtype=bool)))
def test_masks_of_arrays_are_used(kind):
    mask = np.zeros((6, 8), bool)
    mask[1:3, 2:5] = True
    given = [_masked(np.asarray(ccd.data), mask if i else np.zeros_like(mask))[kind] for i, ccd in enumerate(ccds())]
    exposures = load_exposures(given, unit=u.adu, **NOISE)
    assert not exposures.bad[0].any()
    for i in (1, 2):
        np.testing.assert_array_equal(exposures.bad[i], mask)
        assert not exposures.data[i][mask].any()


@pytest.mark.parametrize("kind", ["numpy.ma", "Masked", "Masked Quantity"])
def test_cubes_with_masks(kind):
    mask = np.zeros((3, 6, 8), bool)
    mask[0, 1, 2] = mask[2, 4, 4] = True
    cube = _masked(np.stack([ccd.data for ccd in ccds()]), mask)[kind]
    np.testing.assert_array_equal(load_exposures(cube, unit=u.adu, **NOISE).bad, mask)


def test_a_quantity_cube_is_a_list_of_exposures():
    cube = np.stack([ccd.data for ccd in ccds()]) * u.adu
    assert len(load_exposures(cube, **NOISE)) == 3
    with pytest.raises(InputError, match="got a single Quantity"):
        load_exposures(cube[0], **NOISE)


def test_masked_gain_is_refused():
    image = np.full((6, 8), 2.0)
    mask = np.zeros((6, 8), bool)
    load_exposures(ccds(), gain=Masked(image * GAIN.unit, mask=mask), readnoise=5 * u.electron)
    mask[2, 3] = True
    with pytest.raises(InputError, match="gain must not be masked; got 1 masked values"):
        load_exposures(ccds(), gain=Masked(image * GAIN.unit, mask=mask), readnoise=5 * u.electron)
    with pytest.raises(InputError, match="bias must not be masked"):
        load_exposures(ccds(), bias=Masked(image * u.adu, mask=mask), **NOISE)


def test_lazy_arrays_are_refused_by_name():
    da = pytest.importorskip("dask.array")
    with pytest.raises(InputError, match=r"got dask\.Array: give its values with \.compute\(\)"):
        load_exposures([da.from_array(ccd.data) for ccd in ccds()], unit=u.adu, **NOISE)


@pytest.mark.parametrize("kind", [list, tuple, u.Quantity])
def test_a_bias_and_a_saturation_for_each_exposure(kind):
    image = np.arange(48.0).reshape(6, 8)
    for bias in ([10, 20, 30], [image, image + 1, image + 2]):
        images = ccds()
        for ccd in images:
            ccd.data[-1, 3] = 150
        own = {"bias": kind([one * u.adu for one in bias]), "saturation": kind([200, 150, 300] * u.adu)}
        exposures = load_exposures(images, **own, **NOISE)
        for i in range(3):
            np.testing.assert_allclose(exposures.data[i][:-1], 100 + i - np.broadcast_to(bias[i], (6, 8))[:-1])
            assert exposures.bad[i].sum() == (i == 1)
    with pytest.raises(InputError, match="bias must be one value, or 3 for as many exposures; got 2"):
        load_exposures(ccds(), bias=kind([1, 2] * u.adu), **NOISE)


def test_sections_of_the_bias_for_each_exposure():
    exposures = load_exposures(ccds(), bias=["[1:2,1:2]", 7 * u.adu, "[3:4,1:2]"], **NOISE)
    np.testing.assert_allclose(exposures.data[:, 0, 0], [0, 94, 0])


@pytest.mark.parametrize("name", ["gain", "readnoise"])
def test_a_list_of_gains_is_refused_with_a_remedy(name):
    with pytest.raises(InputError, match=f"{name} must be one Quantity for all exposures, .* got 3: convert exposures"):
        load_exposures(ccds(), **NOISE | {name: [NOISE[name]] * 3})


def test_a_gain_of_electrons_is_refused():
    electrons = [ccd.data * u.electron for ccd in ccds()]
    more = {"readnoise": 5 * u.electron}
    with pytest.raises(InputError, match=r"gain must be left out for exposures in electron, as .* got 1\.5"):
        load_exposures(electrons, gain=1.5 * GAIN.unit, **more)
    with pytest.raises(InputError, match=r"gain must be left out .* got an image of 1 to 2"):
        load_exposures(electrons, gain=np.linspace(1, 2, 48).reshape(6, 8) * GAIN.unit, **more)
    load_exposures(electrons, gain=1 * GAIN.unit, **more)
    # it converts other numbers
    exposures = load_exposures(electrons, gain=2 * GAIN.unit, readnoise=3 * u.adu)
    assert exposures.noise.readnoise_electrons == 6
    assert load_exposures(electrons, gain=2 * GAIN.unit, bias=20 * u.adu, **more).data[0, 0, 0] == 60


def test_images_of_one_name_are_named(tmp_path):
    paths = []
    for i, ccd in enumerate(ccds()):
        chips = [fits.ImageHDU(ccd.data + k, name="SCI", ver=k + 1) for k in range(2)]
        paths.append(tmp_path / f"{i}.fits")
        fits.HDUList([fits.PrimaryHDU(), chips[0], fits.ImageHDU(name="ERR"), chips[1]]).writeto(paths[-1])
    match = r"ext='SCI' names 2 images of .*0\.fits, extensions 1, 3; the first is used. Give .* ext=3 for \(SCI, 2\)"
    with pytest.warns(CRStackWarning, match=match) as found:
        exposures = load_exposures(paths, ext="SCI", unit=u.adu, **NOISE)
    assert len(found) == 1
    assert exposures.data[0, 0, 0] == 100
    assert load_exposures(paths, ext=3, unit=u.adu, **NOISE).data[0, 0, 0] == 101
    load_exposures(paths, ext=1, unit=u.adu, **NOISE)


def test_a_file_that_is_cut_short_is_reported_once(tmp_path):
    paths = []
    for i, ccd in enumerate(ccds(shape=(60, 80))):
        paths.append(tmp_path / f"{i}.fits")
        fits.PrimaryHDU(ccd.data).writeto(paths[-1])
    whole = paths[1].read_bytes()
    paths[1].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"exposure must be a readable FITS file; got .*1\.fits \(File may have been"):
        load_exposures(paths, unit=u.adu, **NOISE)


@pytest.mark.parametrize("of_files", [False, True])
def test_the_expected_memory_is_that_of_trimmed_exposures(of_files, tmp_path, monkeypatch):
    rng = np.random.default_rng(5)
    header = fits.Header({"BUNIT": "adu", "KEPT": "[3:22,1:30]"})
    items = [CCDData(rng.normal(100, 11.2, (40, 50)), unit="adu", header=header) for _ in range(2)]
    if of_files:
        for number, ccd in enumerate(items):
            fits.writeto(tmp_path / f"{number}.fits", np.asarray(ccd.data, np.float32), header)
        items = [tmp_path / f"{number}.fits" for number in range(2)]
    counted = []
    monkeypatch.setattr(Workspace, "decide", lambda self, needed, n_pixels, *_: counted.append(n_pixels))
    workspace = Workspace(10**10)
    for trim in (None, "[1:10,2:31]", "header:KEPT"):
        with limited_memory(workspace):
            load_exposures(items, gain=1 * u.electron / u.adu, readnoise=5 * u.electron, trim=trim)
    assert counted == [2000, 300, 600]


@pytest.mark.parametrize("kind", [np.float16, np.longdouble])
def test_floats_of_half_and_extended_precision(kind):
    """scipy has no filters for them."""
    images = np.random.default_rng(4).poisson(100, (3, 30, 40)).astype(kind)
    exposures = load_exposures(list(images), unit=u.electron, readnoise=4 * u.electron)
    np.testing.assert_array_equal(exposures.data, images.astype(np.float32))
