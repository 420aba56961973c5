"""Runs the parts of the suite, all or those that are named, and counts what they checked."""

import sys

import container
import corpus
import habits
import latency
import machine
import refusals
import schema
import validation
from checks import Checks

PARTS = {
    "schema": schema.comparison,
    "validation": validation.answers,
    "container": container.life,
    "machine": machine.life,
    "programs": machine.programs,
    "refusals": refusals.answers,
    "habits": habits.answers,
    "latency": latency.beside,
    "corpus": corpus.replay,
}


def main(names):
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        sys.exit(f"proxmox suite: no part `{unknown[0]}`; there are {', '.join(PARTS)}")
    checks = Checks()
    for name, part in PARTS.items():
        if not names or name in names:
            checks.run(name, part)
    for name in checks.failed:
        print(f"failed: {name}")
    print(f"proxmox suite: {checks.passed} checks passed, {len(checks.failed)} failed, {len(checks.skipped)} skipped")
    return 1 if checks.failed or not checks.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
