"""Short names of files in messages."""

import pytest

from crstack.files.names import common_folder, short_names


@pytest.mark.parametrize(
    ("names", "folder", "short"),
    [
        (["/data/night/a.fits", "/data/night/b.fits"], "/data/night", ("a.fits", "b.fits")),
        (["/data/n1/a.fits", "/data/n2/a.fits"], "/data", ("n1/a.fits", "n2/a.fits")),
        (["raw/a.fits", "raw/b.fits"], "raw", ("a.fits", "b.fits")),
        (["raw/a.fits", "b.fits"], "", ("raw/a.fits", "b.fits")),
        (["a/x.fits", "b/x.fits"], "", ("a/x.fits", "b/x.fits")),
        (["raw/a.fits", "/data/b.fits"], "", ("raw/a.fits", "/data/b.fits")),
        (["exposure 1", "exposure 2"], "", ("exposure 1", "exposure 2")),
    ],
)
def test_the_folder_that_all_share_is_left_out(names, folder, short):
    assert common_folder(names) == folder
    assert short_names(names) == short


def test_two_files_of_one_name_keep_what_differs():
    assert len(set(short_names(["/n1/a.fits", "/n2/a.fits", "/n3/sub/a.fits"]))) == 3
