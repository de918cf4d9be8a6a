"""Names of images with brackets, and patterns."""

import pytest

from crstack.config.image_names import matching_images
from crstack.exceptions import ConfigurationError


def test_brackets_may_be_part_of_the_name_of_a_file(tmp_path):
    """In one of the places where images are looked for."""
    (tmp_path / "n[1].fits").touch()
    (tmp_path / "n1.fits").touch()
    assert matching_images(["n[1].fits"], tmp_path) == ["n[1].fits"]
    (tmp_path / "n[1].fits").unlink()
    assert [str(one) for one in matching_images(["n[1].fits"], tmp_path)] == [str(tmp_path / "n1.fits")]
    with pytest.raises(ConfigurationError, match=r"images must match files that exist; got x\*\.fits"):
        matching_images(["x*.fits"], tmp_path)
    assert matching_images(3, tmp_path) == 3
