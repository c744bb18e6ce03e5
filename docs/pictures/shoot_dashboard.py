"""Take the pictures of the dashboard that the documentation shows: a desk in the dark theme, a phone.

Owns nothing of polybot: it opens the printed address of a dashboard that runs, in Chromium, waits for a window with
fills, and saves what it sees.  Needs playwright and chromium; docs/DEVELOPMENT.md says how.
Usage: shoot_dashboard.py ADDRESS FOLDER
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
SCREENS = {"dashboard.png": (1280, 900), "dashboard-phone.png": (390, 844)}
WAIT_MS = 300_000.0
# A strike, a fill in the list, and between a third and nine tenths of the window behind us.
READY = """() => {
  const done = document.querySelector(".market .progress i")?.style.width;
  return document.body.dataset.state === "live" && parseFloat(done) > 45 && parseFloat(done) < 92
    && document.querySelector(".market [data-f=strike]").textContent.includes(".")
    && document.querySelector("#events li[data-kind=fill]");
}"""


def shoot(address: str, folder: Path) -> None:
    """Save one picture per screen; the address may carry a token, or a code for one use."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        context = browser.new_context(color_scheme="dark", viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.goto(address)
        for name, (width, height) in SCREENS.items():
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_function(READY, timeout=WAIT_MS)
            page.wait_for_timeout(1_500)  # charts follow the new width
            page.screenshot(path=folder / name)
        browser.close()


if __name__ == "__main__":
    shoot(sys.argv[1], Path(sys.argv[2]))
