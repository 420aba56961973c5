"""Starts `runbook lab --json` and ends it; gives what it printed, and proxmoxer clients of it."""

import contextlib
import json
import os
import selectors
import subprocess
import tempfile
import time
import urllib.parse

from proxmoxer import ProxmoxAPI
from proxmoxer.core import ResourceException
from proxmoxer.tools import Tasks

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# The book of the homelab, whose lab has machines that run programs.
BOOK = os.path.join(ROOT, "book")
# How long a lab may take to print its line: a book's lab makes machines first.
READY_S = 60
# How long it may take to end after TERM.
END_S = 20
# How long one answer may take: a 401 takes three seconds, the proxy gives up after thirty.
ANSWER_S = 45
# How long a task may take, and how often it is looked at.
TASK_S = 60
POLL_S = 0.05

TEMPLATE = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"
APPLIANCE = "debian-13-standard_13.1-2_amd64.tar.zst"
PASSWORD = "a password of the suite"
TOKEN = "6f0c2d1e-5b8a-4f6e-9d43-1f2e3d4c5b6a"

# Two nodes, so that something can be migrated; storages that can and cannot take snapshots of containers.
STATE = {
    "nodes": [{"name": "pve1"}, {"name": "pve2"}],
    "storages": [
        {
            "id": "local",
            "type": "dir",
            "path": "/var/lib/vz",
            "content": "iso,vztmpl,backup,import,snippets,rootdir,images",
        },
        {"id": "thin", "type": "lvmthin", "content": "rootdir,images"},
        {"id": "nas", "type": "nfs", "shared": True, "content": "rootdir,images"},
    ],
    "templates": [TEMPLATE],
    "users": [
        {"userid": "root@pam", "enable": 1, "password": PASSWORD},
        {"userid": "guest@pve", "enable": 1, "password": PASSWORD},
    ],
    "tokens": [
        {"id": "root@pam!suite", "privsep": 0, "value": TOKEN},
        {"id": "guest@pve!suite", "privsep": 0, "value": TOKEN},
    ],
    "acl": [{"path": "/vms/130", "ugid": "guest@pve", "roleid": "PVEAuditor", "propagate": 1}],
    "bridges": [{"iface": "vmbr0", "cidr": "192.168.1.10/24", "gateway": "192.168.1.1", "bridge_ports": "none"}],
    "appliances": [APPLIANCE],
}


class Lab:
    """A running lab: where it is, and clients of it."""

    def __init__(self, said):
        self.said = said
        proxmox = said["proxmox"]
        self.url, self.node, self.token, self.ca = (proxmox[key] for key in ("url", "node", "token", "ca"))
        self.fingerprint = proxmox["fingerprint"]
        self.host = urllib.parse.urlsplit(self.url).netloc

    def by_token(self, token=None):
        """proxmoxer with an API token; without one the token that the lab printed."""
        identity, secret = (token or self.token).split("=", 1)
        user, name = identity.split("!", 1)
        return ProxmoxAPI(
            self.host, user=user, token_name=name, token_value=secret, verify_ssl=self.ca, timeout=ANSWER_S
        )

    def by_password(self, user="root@pam", password=PASSWORD):
        """proxmoxer with a ticket of a password."""
        return ProxmoxAPI(self.host, user=user, password=password, verify_ssl=self.ca, timeout=ANSWER_S)


@contextlib.contextmanager
def started(*, state=None, state_file=None, book=None):
    """A lab from a state, a file of one, or a book; gone afterwards."""
    with contextlib.ExitStack() as stack:
        argv = [os.environ["RUNBOOK"], "lab", "--json"]
        if book:
            argv += ["--book", book]
        else:
            if state_file is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                state_file = os.path.join(folder, "state.json")
                with open(state_file, "w", encoding="utf-8") as file:
                    json.dump(state, file)
            argv += ["--state", state_file]
        said = stack.enter_context(tempfile.TemporaryFile())
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said)
        stack.callback(end, child)
        yield Lab(json.loads(line(child, said)))


def line(child, said):
    """The one line a lab prints when it is ready."""
    text, deadline = b"", time.monotonic() + READY_S
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while not text.endswith(b"\n"):
            part = b""
            if selector.select(max(0, deadline - time.monotonic())):
                part = os.read(child.stdout.fileno(), 65536)
            if not part:
                said.seek(0)
                raise RuntimeError(f"the lab printed no line: {text!r} {said.read().decode()!r}")
            text += part
    return text


def end(child):
    """TERM ends a lab with 0."""
    child.terminate()
    try:
        code = child.wait(END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        raise RuntimeError("the lab did not end on TERM") from None
    finally:
        child.stdout.close()
    if code != 0:
        raise RuntimeError(f"the lab ended with {code}")


def wait(proxmox, upid):
    """The exit text of a task, by proxmoxer's own wait."""
    status = Tasks.blocking_status(proxmox, upid, timeout=TASK_S, polling_interval=POLL_S)
    return status["exitstatus"] if status else "the task did not end"


def log(proxmox, upid):
    """The lines of a task's log, put together by proxmoxer."""
    node = Tasks.decode_upid(upid)["node"]
    return Tasks.decode_log(proxmox.nodes(node).tasks(upid).log.get(limit=0)).split("\n")


def refusal(call, *args, **params):
    """What proxmoxer raises: the status, the server's text, the errors by parameter."""
    try:
        got = call(*args, **params)
    except ResourceException as error:
        return error.status_code, error.content, error.errors
    return 200, f"not refused: {got!r}", None
