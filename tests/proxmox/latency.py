"""From the wish for a container until it runs: our client's wait for tasks beside proxmoxer's, in turn on one lab.

Nothing here passes or fails by its time: the figures are printed. What is checked is that both came to the same end.
"""

import os
import statistics
import subprocess
import time

from proxmoxer.tools import Tasks

import lab as labs

# How long a task of the lab takes, in milliseconds, and how often each client creates and starts a container.
TASKS_MS = {50: 5, 500: 5, 5000: 3}
# How long our program may take for one.
ROUND_S = 120


def ours(lab, vmid):
    """Milliseconds by our client, measured by itself."""
    argv = [os.environ["CREATE_TO_RUNNING"], lab.url, lab.token, lab.ca, lab.node, labs.TEMPLATE, str(vmid)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=ROUND_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"our client: {done.stderr.strip()}")
    return float(done.stdout)


def theirs(proxmox, node, vmid):
    """Milliseconds by proxmoxer: its wait as it comes, which looks every second and pauses after the end, too."""
    started = time.monotonic()
    for upid in (
        lambda: proxmox.nodes(node).lxc.post(vmid=vmid, ostemplate=labs.TEMPLATE, rootfs="thin:1"),
        lambda: proxmox.nodes(node).lxc(vmid).status.start.post(),
    ):
        status = Tasks.blocking_status(proxmox, upid(), timeout=labs.TASK_S)
        if not status or status["exitstatus"] != "OK":
            raise RuntimeError(f"proxmoxer: {status}")
    if proxmox.nodes(node).lxc(vmid).status.current.get()["status"] != "running":
        raise RuntimeError("proxmoxer: the container does not run")
    return (time.monotonic() - started) * 1000


def beside(checks):
    table = []
    for milliseconds, rounds in TASKS_MS.items():
        with labs.started(state={**labs.STATE, "task-ms": milliseconds}) as lab:
            proxmox = lab.by_token()
            proxmox.version.get()
            taken = {"ours": [], "proxmoxer": []}
            for number in range(rounds):
                taken["ours"].append(ours(lab, 1000 + number))
                taken["proxmoxer"].append(theirs(proxmox, lab.node, 2000 + number))
            running = {row["vmid"] for row in proxmox.nodes(lab.node).lxc.get() if row["status"] == "running"}
        wanted = {base + number for base in (1000, 2000) for number in range(rounds)}
        checks.equal(f"tasks of {milliseconds} ms: all {2 * rounds} containers run", running, wanted)
        checks.that(
            f"tasks of {milliseconds} ms: neither came before its two tasks",
            min(map(min, taken.values())) >= 2 * milliseconds,
            taken,
        )
        median = {name: statistics.median(values) for name, values in taken.items()}
        table.append((milliseconds, rounds, median["ours"], median["proxmoxer"]))
    print("      create to running, median        ours    proxmoxer   ours / proxmoxer")
    for milliseconds, rounds, mine, other in table:
        what = f"two tasks of {milliseconds:>4} ms, {rounds} rounds"
        print(f"      {what} {mine:>8.0f} ms {other:>8.0f} ms   {mine / other:.2f}")
