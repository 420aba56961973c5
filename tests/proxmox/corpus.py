"""The recorded exchanges of a real Proxmox VE 9.2 API, replayed by their own replayer, with a fresh lab per file."""

import glob
import os
import re
import subprocess
import sys

import lab as labs

# Beside the repository, or beside the folder of its work trees.
PLACES = [os.path.join(labs.ROOT, *[".."] * up, "shared", "pve-corpus") for up in (1, 2)]
# As many as there are at least; none is exempt.
EXCHANGES_MIN = 339
# How long one file may take: each of its 401 answers takes three seconds.
FILE_S = 300


def replay(checks):
    folder = next((place for place in PLACES if os.path.isfile(os.path.join(place, "replay.py"))), None)
    if folder is None:
        checks.skip("the recorded exchanges", "they are not at ../shared/pve-corpus beside the repository")
        return
    passed = failed = recorded = 0
    for file in sorted(glob.glob(os.path.join(folder, "dev", "*.jsonl"))):
        with open(file, encoding="utf-8") as lines:
            recorded += sum(1 for line in lines if line.strip()) - 1
        with labs.started(state_file=file) as lab:
            done = subprocess.run(
                [sys.executable, os.path.join(folder, "replay.py"), lab.url, "-q", file],
                capture_output=True,
                text=True,
                timeout=FILE_S,
                check=False,
            )
        last = done.stdout.strip().split("\n")[-1]
        figures = re.fullmatch(r"(\d+) passed, (\d+) failed", last)
        checks.that(
            f"{os.path.basename(file)}: {last}",
            done.returncode == 0 and figures and figures[2] == "0",
            done.stdout + done.stderr,
        )
        if figures:
            passed, failed = passed + int(figures[1]), failed + int(figures[2])
    checks.that(f"there are {recorded} exchanges", recorded >= EXCHANGES_MIN, recorded)
    checks.equal(f"all files: {passed} passed, {failed} failed", (passed, failed), (recorded, 0))
