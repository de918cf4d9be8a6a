"""Draw the figure of docs/how_to/read_the_report.rst: ``python docs/make_report_figure.py``.

Runs ``crstack demo``, and takes a picture of its report with headless Chromium, which must be installed.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

IMAGE = Path(__file__).parent / "images" / "report.png"
#: width and height of the window in pixels
SIZE = (1280, 900)
#: shows the first hit of the table, as a click on its row does
CHOOSE = """<script>addEventListener("load", () => {
  setTimeout(() => document.querySelector("tbody tr").click(), 1000);
  setTimeout(() => scrollTo({top: 0, behavior: "instant"}), 2000);
});</script>"""
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=20000")


def main():
    """Run the demo, and take the picture."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("Chromium must be installed; found none")
    with TemporaryDirectory() as folder:
        demo = Path(folder, "demo")
        subprocess.run([sys.executable, "-m", "crstack", "demo", str(demo)], check=True)
        page, shot = demo / "results" / "report.html", Path(folder, "report.png")
        page.write_text(page.read_text(encoding="utf-8") + CHOOSE, encoding="utf-8")
        size = ",".join(map(str, SIZE))
        command = [
            chromium,
            *FLAGS,
            f"--user-data-dir={folder}/profile",
            f"--window-size={size}",
            f"--screenshot={shot}",
        ]
        subprocess.run([*command, page.as_uri()], check=True, timeout=120, capture_output=True)
        with Image.open(shot) as image:
            image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(IMAGE, optimize=True)


if __name__ == "__main__":
    main()
