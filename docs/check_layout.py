"""Check the built pages: ``python docs/check_layout.py docs/_build/html``.

Links from one page to another must lead to a file and a place that exist, and no page may load a script or a style from
elsewhere. No page may be wider than its window: each is loaded in headless Chromium at three widths. The exit code is 1
if a page fails. Where Chromium is absent, the widths are not checked, and a note says so.
"""

import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import unquote

WIDTHS = (400, 768, 1280)
#: addresses within the site, and those of scripts, styles and images that are loaded from elsewhere
LINK = re.compile(r'(?:href|src)="(?![a-z]+:|//|#")([^"{}]+)"')
LOADED = re.compile(r'(?:<script[^>]*\bsrc|<link[^>]*rel="stylesheet"[^>]*href|<img[^>]*src)="((?:https?:)?//[^"]+)"')
#: loads each page in a frame of each width, and lists those whose content is wider
HARNESS = """<!doctype html><meta charset="utf-8"><pre id="found">unfinished</pre><script>
const pages = PAGES, widths = WIDTHS, found = [];
const frame = document.createElement("iframe");
frame.style.height = "900px"; frame.style.border = "0";
document.body.append(frame);
const settled = () => new Promise(done => setTimeout(done, 60));
async function load(page) {
  const loaded = new Promise(done => frame.onload = done);
  frame.src = page;
  await loaded;
}
// content that scrolls by itself, such as a table or a listing, may be wider
const scrolls = element => ["auto", "scroll", "hidden"].includes(getComputedStyle(element).overflowX);
function widest(page) {
  let wide = page.documentElement.scrollWidth;
  const article = page.querySelector("article") || page.body;
  const visit = element => {
    wide = Math.max(wide, Math.ceil(element.getBoundingClientRect().right));
    if (!scrolls(element)) for (const child of element.children) visit(child);
  };
  for (const child of article.children) visit(child);
  return wide;
}
(async () => {
  for (const page of pages) {
    frame.style.width = widths[0] + "px";
    await load(page);
    for (const width of widths) {
      frame.style.width = width + "px";
      await settled();
      const wide = widest(frame.contentDocument);
      if (wide > width) found.push([page, width, wide]);
    }
  }
  document.getElementById("found").textContent = "finished " + JSON.stringify(found);
})();
</script>"""
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--virtual-time-budget=600000", "--dump-dom"),
)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def overflowing(built, chromium):
    """Pages wider than their window, as (page, width of the window, width of the content)."""
    pages = sorted("/" + path.relative_to(built).as_posix() for path in built.rglob("*.html"))
    pages = [page for page in pages if not page.startswith("/_")]
    harness = built / "_layout.html"
    harness.write_text(HARNESS.replace("PAGES", json.dumps(pages)).replace("WIDTHS", json.dumps(WIDTHS), 1))
    handler = functools.partial(_Quiet, directory=built)
    try:
        with (
            http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
            tempfile.TemporaryDirectory() as profile,
        ):
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_address[1]}/_layout.html"
            command = [chromium, *FLAGS, f"--user-data-dir={profile}", address]
            shown = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout
            server.shutdown()
    finally:
        harness.unlink()
    answer = re.search(r"finished (\[.*?\])</pre>", shown)
    if answer is None:
        raise RuntimeError(f"Chromium must finish its {len(pages)} pages; got {shown[-300:]}")
    return len(pages), json.loads(answer[1])


def dead_links(built):
    """Links within the site that lead nowhere, and scripts and styles of other sites, as (page, address)."""
    texts = {path: path.read_text(encoding="utf-8") for path in built.rglob("*.html")}
    found = []
    for page, text in texts.items():
        if page.relative_to(built).parts[0] in ("_static", "_modules"):
            continue
        found += [(page, address) for address in LOADED.findall(text)]
        for address in LINK.findall(text):
            path, _, place = address.partition("#")
            target = (page.parent / unquote(path.split("?")[0])).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            known = texts.get(target)
            if not target.exists() or (place and known is not None and f'id="{place}"' not in known):
                found.append((page, address))
    return [(page.relative_to(built).as_posix(), address) for page, address in sorted(found)]


def main(arguments):
    """Run the checks on the directory of a build."""
    built = Path(arguments[0]).resolve()
    dead = dead_links(built)
    for page, address in dead:
        print(f"/{page} has a link to {address}, which is not there or is of another site")
    return int(bool(dead)) | widths(built)


def widths(built):
    """Check the widths of the pages; return 1 if one overflows."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("Chromium is not installed: the widths of the pages are not checked")
        return 0
    n_pages, found = overflowing(built, chromium)
    for page, width, wide in found:
        print(f"{page} is {wide} pixels wide in a window of {width}")
    print(f"{n_pages} pages at {len(WIDTHS)} widths: {len(found)} overflow")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
