"""Names of the files that `crstack run` writes."""

from crstack.combine import COMBINATIONS
from crstack.masks.features import CATEGORIES

SEVEN = COMBINATIONS[:-1]
IMAGES = {"crmasks.fits", *(f"combined_{name}.fits" for name in SEVEN)}
TABLES = {
    "mediancr_identified.ecsv",
    *(f"mediancr_identified_{category}.csv" for category in CATEGORIES),
    "problematic_pixels.csv",
}
PRODUCTS = IMAGES | TABLES | {"crstack_manifest.json"}
