#!/bin/sh
# A transcript of the calls of a new user, on simulated exposures in an empty directory.
# Usage: tools/transcript.sh DIRECTORY; crstack and python must be those of the environment to try.
set -eu
here=${1:?directory, which must not exist}
mkdir "$here"
cd "$here"

try() {
    printf '\n$ %s\n' "$*"
    start=$(date +%s.%N)
    set +e
    sh -c "$*" 2>&1 | tail -n "${LINES_SHOWN:-12}"
    set -e
    printf '# %.1f s\n' "$(echo "$(date +%s.%N) - $start" | bc)"
}

try crstack --version
try python -m crstack --version
try "crstack demo demo --shape 200 240"
try "crstack init demo/exposure_*.fits > params.yaml; grep -E '^(gain|rnoise|extnum)' params.yaml"
try "crstack run demo/exposure_*.fits --gain 1 --readnoise '3.4 electron' --bias 100 --dry-run"
try "crstack run demo/exposure_*.fits --gain 1 --readnoise '3.4 electron' --bias 100 --output-dir out"
try "crstack run demo/exposure_*.fits --gain 1 --readnoise '3.4 electron' --bias 100 --method mm_pycosmic --output-dir mm"
try "crstack run demo/params.yaml --output-dir json --no-plots --json"
try "crstack run demo/params.yaml --output-dir clean --no-plots --clean; ls clean | grep clean"
try "crstack run demo/params.yaml --output-dir again --crmasks out/crmasks.fits --no-plots"
try "crstack run demo/exposure_*.fits --gain abc --readnoise '3.4 electron' --output-dir no; echo exit \$?"
try "crstack plugins"
try "crstack completion bash"
try "python -c \"
import astropy.units as u, crstack
from crstack import CRStack, MaskSet
from astropy.nddata import CCDData
stack = CRStack.from_files('demo/exposure_*.fits', gain=1 * u.electron / u.adu, readnoise=3.4 * u.electron, bias=100 * u.adu)
masks = stack.detect()
print(masks)
print(stack.combine('meanjoint').uncertainty.uncertainty_type)
print(crstack.read('out/combined_meanjoint.fits'))
print(MaskSet.read('out/crmasks.fits'))
ccd = CCDData.read('out/combined_meanjoint.fits', hdu_uncertainty='VARIANCE')
print(type(ccd.uncertainty).__name__, int(ccd.mask.sum()))
print(masks.to_dq(bits='stsci').shape, [ccd.header['CRSOURCE'] for ccd in stack.clean()])
\""
cat > mosaic.py <<'CODE'
from astropy.io import fits

for i in (1, 2, 3):
    one = fits.open(f"demo/exposure_{i}.fits")[0]
    chips = enumerate((slice(0, 90), slice(90, 200)), start=1)
    parts = [fits.ImageHDU(one.data[rows], one.header, name="SCI", ver=number) for number, rows in chips]
    fits.HDUList([fits.PrimaryHDU(), *parts]).writeto(f"mosaic_{i}.fits")
CODE
try "python mosaic.py; crstack run mosaic_*.fits --gain header:GAIN --readnoise header:RDNOISE --bias 100 --ext all \
    --no-plots --output-dir mosaic"
try "python -c \"import crstack; print(crstack.read('mosaic/combined_meanjoint.fits', chip='SCI2').ccd.shape)\""
try "du -sh out; ls -l out/report.html; ls out | wc -l"
