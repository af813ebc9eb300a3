#!/usr/bin/env python3
"""Tables and a picture of what testing/performance/knobs.sh found.

    python3 testing/performance/knobs_plot.py OUT docs/performance/knobs.svg

Prints a table in Markdown for each knob, medians over the rounds, and writes the picture. Python's
own library alone.
"""

import json
import pathlib
import statistics
import sys
from xml.sax.saxutils import escape

# Knobs in the order of the page, and what their plots are called.
KNOBS = {
    "workers": "workers: GET 64 KiB",
    "pin_workers": "pin_workers: GET 64 KiB",
    "rps": "limits.rps: GET 1 KiB, 1000 due per second",
    "in_flight": "limits.in_flight: GET 4 MiB, 64 at once",
    "facet_write": "limits.facets.storage_write: PUT 1 MiB, 64 at once",
    "oap_streams": "OAP requests in flight: GET 1 KiB, 1 connection",
    "h2_streams": "HTTP/2 streams: GET 1 KiB, 1 connection",
    "object_size": "size of the object: GET, 8 connections",
    "eviction": "memory.eviction: PUT 64 KiB into 64 MiB",
    "memory_lock": "memory.lock: PUT 64 KiB into 64 MiB, lru",
    "tls": "tls.pq: GET 64 KiB, 8 connections",
    "persist": "persist.sync: PUT 1 KiB, 32 connections",
}

COLUMNS = [
    ("answered/s", lambda it: it["achieved_rps"]),
    ("node CPU, µs each", lambda it: it["server_cpu_us_per_request"]),
    ("p50, ms", lambda it: it["latency_ms"]["p50"]),
    ("p99, ms", lambda it: it["latency_ms"]["p99"]),
    ("refused", lambda it: share(it, ("429", "503"))),
    ("RSS, MiB", lambda it: it["server_rss_bytes_max"] / 2**20),
]

# Of the picture, in pixels.
WIDTH, ROW, PLOT, GAP, PER_LINE = 460, 26, 190, 24, 2


def share(result, statuses):
    """Answers of these statuses, in percent of all requests."""
    counts = result["status_counts"]
    all_of_them = sum(counts.values())
    return 100 * sum(counts.get(it, 0) for it in statuses) / all_of_them if all_of_them else 0


def read(folder):
    """Results by knob and setting, a list of rounds each, in the order of the runs."""
    found = {}
    files = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    for file in files:
        _, knob, setting = file.stem.split(".", 2)
        found.setdefault(knob, {}).setdefault(setting, []).append(json.loads(file.read_text()))
    return found


def medians(rounds):
    """One number for each column."""
    return [statistics.median(of(it) for it in rounds) for _, of in COLUMNS]


def digits(value):
    """Three digits that mean something."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(knob, settings):
    """A knob in Markdown."""
    lines = [f"### {KNOBS[knob]}", ""]
    lines.append("| setting | " + " | ".join(name for name, _ in COLUMNS) + " |")
    lines.append("|---" * (len(COLUMNS) + 1) + "|")
    for setting, rounds in settings.items():
        values = [digits(value) for value in medians(rounds)]
        values[4] += " %"
        lines.append(f"| `{setting}` | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


def bars(title, settings, left, top):
    """A knob as bars: answers per second above CPU per answer, each of its own largest."""
    rows = [(setting, medians(rounds)) for setting, rounds in settings.items()]
    parts = [f'<text x="{left}" y="{top}" class="title">{escape(title)}</text>']
    y = top + 12
    for setting, values in rows:
        parts.append(f'<text x="{left + 62}" y="{y + 13}" class="name">{escape(setting)}</text>')
        for index, (column, colour) in enumerate([(0, "#3b7dd8"), (1, "#d98032")]):
            most = max(values[column] for _, values in rows) or 1
            width = max(1, PLOT * values[column] / most)
            at = y + index * 10
            unit = "/s" if column == 0 else " µs"
            parts.append(
                f'<rect x="{left + 70}" y="{at}" width="{width:.1f}" height="8" fill="{colour}"/>'
                f'<text x="{left + 76 + width:.1f}" y="{at + 8}" class="value">'
                f"{digits(values[column])}{unit}</text>"
            )
        y += ROW
    return "\n".join(parts)


def picture(found):
    """All knobs as one SVG."""
    known = [(knob, found[knob]) for knob in KNOBS if knob in found]
    parts, top = [], 52
    for start in range(0, len(known), PER_LINE):
        line = known[start : start + PER_LINE]
        for column, (knob, settings) in enumerate(line):
            parts.append(bars(KNOBS[knob], settings, 16 + column * WIDTH, top))
        top += 12 + ROW * max(len(settings) for _, settings in line) + GAP
    body = "\n".join(parts)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {16 + WIDTH * PER_LINE} {top}"
  font-family="system-ui, sans-serif" role="img" aria-label="What turning each knob does">
<style>
  .title {{ font-size: 12px; font-weight: 600; }}
  .name {{ font-size: 11px; text-anchor: end; }}
  .value {{ font-size: 9px; fill: #555; }}
</style>
<rect width="100%" height="100%" fill="#fff"/>
<rect x="16" y="14" width="10" height="8" fill="#3b7dd8"/><text x="30" y="22" class="name" style="text-anchor: start">answered per second</text>
<rect x="160" y="14" width="10" height="8" fill="#d98032"/><text x="174" y="22" class="name" style="text-anchor: start">the node's CPU time for each</text>
{body}
</svg>
"""


def main():
    """Prints the tables, writes the picture."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    found = read(pathlib.Path(sys.argv[1]))
    if not found:
        sys.exit(f"no results in {sys.argv[1]}")
    for knob in KNOBS:
        if knob in found:
            print(table(knob, found[knob]))
    pathlib.Path(sys.argv[2]).write_text(picture(found), encoding="utf-8")


if __name__ == "__main__":
    main()
