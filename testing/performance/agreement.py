#!/usr/bin/env python3
"""Do gwsmoke and wrk agree on what a node does?

Closed-loop reads of one object of 64 KiB over 32 connections, by one thread of either tool, in turn.
The node has one worker and one core, the tool has another one, so that the node is what limits both.
Ratios are formed within a round. Exit code 1 if the median of the ratios is more than 10 % from 1, if
the node was not saturated, or if gwsmoke had less than a fifth of its core left.

    cargo build --release -p micronode -p gwsmoke
    testing/performance/agreement.py --bin target/release [--rounds 5] [--seconds 10]

Needs two cores with nothing else on them, taskset, and wrk.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

SIZE = 64 * 1024
CONNECTIONS = 32
AGREE = 0.10
NODE_BUSY = 0.90
TOOL_BUSY = 0.80


def main():
    parser = argparse.ArgumentParser(description="Do gwsmoke and wrk agree on what a node does?")
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder with micronode and gwsmoke")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10, help="of each tool in a round")
    parser.add_argument("--cores", default="0,1", help="the node's, the tool's")
    options = parser.parse_args()
    node_core, tool_core = options.cores.split(",")
    node = subprocess.Popen(
        ["taskset", "-c", node_core, options.bin / "micronode", "run", "--dev", "--rps", "0", "--workers", "1"]
        + ["--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
    )
    try:
        told = json.loads(node.stdout.readline())
        url = "http://" + told["http"]
        request = urllib.request.Request(url + "/put", data=os.urandom(SIZE), method="POST")
        with urllib.request.urlopen(request) as answer:
            target = f"{url}/o/{json.load(answer)['address']}"
        on_core = ["taskset", "-c", tool_core]

        def gwsmoke():
            with tempfile.NamedTemporaryFile() as file:
                command = [options.bin / "gwsmoke", "load", "--url", url, "--admin", "http://" + told["admin"]]
                command += ["--pid", str(node.pid), "--closed", "--connections", str(CONNECTIONS)]
                command += ["--objects", "1", "--size", str(SIZE), "--warm-up", "1s"]
                command += ["--duration", f"{options.seconds}s", "--json", file.name]
                subprocess.run(on_core + command, check=True, stdout=subprocess.DEVNULL)
                result = json.load(file)
            return result["achieved_rps"], result["client_cpu_cores"], result["server_cpu_cores"]

        def wrk():
            command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{options.seconds}s", target]
            before, own, started = cpu(node.pid), children(), time.monotonic()
            told = subprocess.run(on_core + command, check=True, capture_output=True, text=True).stdout
            seconds = time.monotonic() - started
            if "Non-2xx" in told or "Socket errors" in told:
                sys.exit(f"wrk had errors:\n{told}")
            rate = next(line.split()[1] for line in told.splitlines() if line.startswith("Requests/sec"))
            return float(rate), (children() - own) / seconds, (cpu(node.pid) - before) / seconds

        tools = {"gwsmoke": gwsmoke, "wrk": wrk}
        runs = {name: [] for name in tools}
        for number in range(options.rounds):
            names = list(tools) if number % 2 == 0 else list(tools)[::-1]
            for name in names:
                runs[name].append(tools[name]())
                rate, own, server = runs[name][-1]
                print(f"{name:<8} {rate:>9.0f} requests/s, tool {own:.2f} cores, node {server:.2f} cores", flush=True)
    finally:
        node.terminate()
        node.wait()
    ratios = [ours[0] / theirs[0] for ours, theirs in zip(runs["gwsmoke"], runs["wrk"])]
    ratio = statistics.median(ratios)
    tool = statistics.median(run[1] for run in runs["gwsmoke"])
    busy = min(statistics.median(run[2] for run in of_tool) for of_tool in runs.values())
    print(f"gwsmoke : wrk {ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    wrong = []
    if abs(ratio - 1) > AGREE:
        wrong.append(f"they differ by more than {AGREE:.0%}")
    if tool >= TOOL_BUSY:
        wrong.append(f"gwsmoke took {tool:.2f} of its core")
    if busy < NODE_BUSY:
        wrong.append(f"the node was not saturated: {busy:.2f} cores")
    print("; ".join(wrong) or "they agree")
    sys.exit(1 if wrong else 0)


def cpu(pid):
    """User and system seconds of a process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children():
    """User and system seconds of processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


main()
