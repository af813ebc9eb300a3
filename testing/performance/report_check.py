#!/usr/bin/env python3
"""Opens a report in a headless Chromium and looks at it as a reader would.

    report_check.py REPORT.html [--screenshots DIR]

Fails (exit code 1) if the console has anything to say, if anything is loaded from elsewhere, if
there is no plot or one that shows no line, if labels of a plot overlap or leave it, or if the page
is wider than its window: light, dark, and as a small screen sees it. With --screenshots, pictures
and a printed page are left in DIR.

Exit code 3: no Chromium here (Debian: apt-get install chromium chromium-driver).
Needs Python's standard library alone; speaks to chromedriver by WebDriver over loopback.
"""

import argparse
import base64
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

# Seconds; a busy machine may take long to start a browser.
PATIENCE = 120

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars",
]

# What is wrong with the page that is shown, a sentence each.
LOOK = r"""
const wrong = [];
const plots = [...document.querySelectorAll('svg.plot')];
if (plots.length === 0) wrong.push('there is no plot');
if (!document.querySelector('h1')) wrong.push('there is no title');
const loaded = performance.getEntriesByType('resource').map(each => each.name);
for (const name of loaded) wrong.push('loaded from elsewhere: ' + name);
const scrolled = document.documentElement.scrollWidth, seen = document.documentElement.clientWidth;
if (scrolled > seen) wrong.push(`the page is ${scrolled} wide in a window of ${seen}`);
for (const [index, plot] of plots.entries()) {
  const name = `plot ${index + 1} (${(plot.getAttribute('aria-label') || '').slice(0, 60)})`;
  const frame = plot.getBoundingClientRect();
  if (!plot.getAttribute('aria-label')) wrong.push(name + ' has no label');
  if (frame.width < 200 || frame.height < 60) wrong.push(`${name} is ${frame.width} × ${frame.height}`);
  const lines = [...plot.querySelectorAll('path.line')];
  if (!lines.some(line => line.getTotalLength() > 1)) wrong.push(name + ' shows no line');
  const texts = [...plot.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  for (const [text, box] of texts) {
    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
      wrong.push(`${name}: "${text}" leaves the plot`);
  }
  for (let a = 0; a < texts.length; a++) for (let b = a + 1; b < texts.length; b++) {
    const [one, two] = [texts[a][1], texts[b][1]];
    if (one.left < two.right && two.left < one.right && one.top < two.bottom && two.top < one.bottom)
      wrong.push(`${name}: "${texts[a][0]}" and "${texts[b][0]}" overlap`);
  }
}
return {wrong: wrong, plots: plots.length, tables: document.querySelectorAll('table').length};
"""


class Browser:
    """A session of a browser of its own."""

    def __init__(self, profile):
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.session = None
        try:
            self.base = "http://127.0.0.1:%d" % self.port()
            options = {"args": FLAGS + ["--user-data-dir=" + profile], "binary": chromium()}
            wanted = {"browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL"},
                      "goog:chromeOptions": options}
            answer = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
            self.session = answer["sessionId"]
        except BaseException:
            self.close()
            raise

    def port(self):
        for line in self.driver.stdout:
            found = re.search(r"on port (\d+)", line)
            if found and "successfully" in line:
                return int(found.group(1))
        raise RuntimeError("chromedriver did not start")

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise RuntimeError("%s: %s" % (value["error"], value["message"])) from None

    def command(self, method, path, body=None):
        return self.ask(method, "/session/%s%s" % (self.session, path), body)

    def devtools(self, name, **params):
        return self.command("POST", "/goog/cdp/execute", {"cmd": name, "params": params})

    def look(self):
        return self.command("POST", "/execute/sync", {"script": LOOK, "args": []})

    def console(self):
        return self.command("POST", "/se/log", {"type": "browser"})

    def close(self):
        if self.session:
            try:
                self.command("DELETE", "")
            except (OSError, RuntimeError):
                pass
        self.driver.terminate()
        try:
            self.driver.wait(10)
        except subprocess.TimeoutExpired:
            self.driver.kill()
            self.driver.wait()
        self.driver.stdout.close()


def chromium():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if shutil.which(name):
            return shutil.which(name)
    return None


def check(browser, page, pictures):
    """What is wrong with a page; and how many plots and tables it has."""
    wrong, found = [], None
    browser.command("POST", "/url", {"url": page.resolve().as_uri()})
    views = [("light", 1280, 900), ("dark", 1280, 900), ("light", 480, 900)]
    for scheme, width, height in views:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.devtools("Emulation.setEmulatedMedia", features=[feature])
        browser.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height,
                         deviceScaleFactor=1, mobile=False)
        found = browser.look()
        wrong += ["%s, %d wide: %s" % (scheme, width, each) for each in found["wrong"]]
        if pictures:
            shot = browser.devtools("Page.captureScreenshot", captureBeyondViewport=True)
            save(pictures / ("%s-%d.png" % (scheme, width)), shot["data"])
    printed = browser.devtools("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
    if pictures:
        save(pictures / "printed.pdf", printed["data"])
    wrong += ["console: %s: %s" % (each["level"], each["message"]) for each in browser.console()]
    return wrong, found


def save(path, encoded):
    path.write_bytes(base64.b64decode(encoded))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=pathlib.Path, help="the page to open")
    parser.add_argument("--screenshots", type=pathlib.Path, metavar="DIR", help="where to leave pictures")
    options = parser.parse_args()
    if not shutil.which("chromedriver") or not chromium():
        print("no chromium and chromedriver here: apt-get install chromium chromium-driver", file=sys.stderr)
        return 3
    if not options.report.is_file():
        print("%s: no such file" % options.report, file=sys.stderr)
        return 2
    if options.screenshots:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="report-check-", ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        try:
            wrong, found = check(browser, options.report, options.screenshots)
        finally:
            browser.close()
    for each in wrong:
        print("%s: %s" % (options.report, each), file=sys.stderr)
    print("%s: %d plots, %d tables, %s" % (
        options.report, found["plots"], found["tables"],
        "%d faults" % len(wrong) if wrong else "no fault and nothing on the console"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
