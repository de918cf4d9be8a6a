#!/usr/bin/env bash
# smoke_test.sh FILE: install a wheel or source distribution in a fresh environment and run the main job once.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
file=$(realpath $1)
python -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "$file"
cd "$work"
venv/bin/crstack --version
venv/bin/crstack demo demo --shape 120 150 --log-level warning
test -s demo/results/combined_meancr2.fits
echo "$(basename "$file"): installed and run"
