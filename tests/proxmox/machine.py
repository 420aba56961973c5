"""proxmoxer takes a virtual machine through its life: image, cloud-init, agent, snapshots, linked clones, removal."""

import contextlib
import hashlib
import http.server
import threading
import time
import urllib.parse

import lab as labs
from lab import log, refusal, wait

IMAGE = b"a disk image of the suite" * 4096
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGk0bXGDMnFC3xHMkQAj6PW+7kYkVVH8fZq5cUe9pWzN suite@example"
STALE = "checksum mismatch (file change by other user?)"
# How long a program in a machine may take, and how often its end is asked for.
PROGRAM_S = 30
POLL_S = 0.05


@contextlib.contextmanager
def files():
    """A web server of this machine with the image; gives its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(IMAGE)))
            self.end_headers()
            self.wfile.write(IMAGE)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/cloud.qcow2"
        server.shutdown()


def life(checks):
    """One machine from its image to its end."""
    with labs.started(state=labs.STATE) as lab, files() as url:
        proxmox = lab.by_token()
        node = proxmox.nodes("pve1")
        image(checks, proxmox, node, url)
        creation(checks, proxmox, node)
        running(checks, proxmox, node.qemu(200))
        snapshots(checks, proxmox, node.qemu(200))
        copies(checks, proxmox, node)
        removal(checks, proxmox, node)


def image(checks, proxmox, node, url):
    local = node.storage("local")
    digest = hashlib.sha256(IMAGE).hexdigest()
    wish = {"url": url, "content": "import", "filename": "cloud.qcow2", "checksum-algorithm": "sha256"}
    checks.equal(
        "image: a wrong checksum fails the task",
        wait(proxmox, local("download-url").post(**wish, checksum="0" * 64)),
        f"checksum mismatch: got '{digest}' != expect '{'0' * 64}'",
    )
    checks.equal("image: and leaves nothing", local.content.get(content="import"), [])
    checks.equal(
        "image: download under its checksum", wait(proxmox, local("download-url").post(**wish, checksum=digest)), "OK"
    )
    rows = local.content.get(content="import")
    checks.equal(
        "image: it is in the storage with its size",
        [(row["volid"], row["size"]) for row in rows],
        [("local:import/cloud.qcow2", len(IMAGE))],
    )
    upid = local("download-url").post(**wish, checksum=digest)
    checks.equal("image: a second time ends", wait(proxmox, upid), "OK")
    nothing = "calculating checksum of existing file...OK, got correct file already, no need to download"
    checks.that("image: and loads nothing", nothing in log(proxmox, upid))
    upid = local("download-url").post(url=url, content="import", filename="cloud.qcow2")
    checks.that("image: nothing is overwritten", wait(proxmox, upid).startswith("refusing to override existing file"))


def creation(checks, proxmox, node):
    wish = {
        "vmid": 200,
        "name": "builder",
        "memory": 1024,
        "cores": 2,
        "ostype": "l26",
        "scsihw": "virtio-scsi-single",
        "agent": "1",
        "scsi0": "thin:0,import-from=local:import/cloud.qcow2",
        "ide2": "thin:cloudinit",
        "boot": "order=scsi0",
        "net0": "virtio,bridge=vmbr0",
        "ciuser": "admin",
        "cipassword": "a secret of the suite",
        "ipconfig0": "ip=192.168.1.40/24,gw=192.168.1.1",
        "nameserver": "192.168.1.1",
        "sshkeys": urllib.parse.quote(KEY, safe=""),
    }
    code, _, errors = refusal(node.qemu.post, **{**wish, "sshkeys": KEY})
    checks.that(
        "create: keys must be escaped once more",
        code == 400 and errors["sshkeys"].startswith("invalid format - invalid urlencoded string"),
        errors,
    )
    upid = node.qemu.post(**wish)
    checks.equal(
        "create: the task ends", (wait(proxmox, upid), labs.Tasks.decode_upid(upid)["type"]), ("OK", "qmcreate")
    )
    config = node.qemu(200).config.get()
    checks.equal("config: memory is a text", config["memory"], "1024")
    checks.equal("config: the password is never told", config["cipassword"], "**********")
    checks.equal("config: keys read back escaped", urllib.parse.unquote(config["sshkeys"]).strip(), KEY)
    checks.that(
        "config: the network card got an address", config["net0"].startswith("virtio=BC:24:11:"), config["net0"]
    )
    checks.that("config: identities are made", "vmgenid" in config and "uuid=" in config["smbios1"], config)
    user = node.qemu(200).cloudinit.dump.get(type="user")
    checks.that("cloud-init: user and key", "user: admin\n" in user and f"  - {KEY}\n" in user, user)
    network = node.qemu(200).cloudinit.dump.get(type="network")
    checks.that(
        "cloud-init: address and gateway",
        "address: '192.168.1.40'" in network and "gateway: '192.168.1.1'" in network,
        network,
    )
    digest = config["digest"]
    checks.equal("config: a change under the digest", node.qemu(200).config.put(cores=3, digest=digest), None)
    code, text, _ = refusal(node.qemu(200).config.put, cores=4, digest=digest)
    checks.equal("config: a stale digest is refused with the official text", (code, text), (500, STALE))
    upid = node.qemu(200).config.post(cores=2)
    checks.equal(
        "config: the asynchronous way is a task",
        (wait(proxmox, upid), labs.Tasks.decode_upid(upid)["type"]),
        ("OK", "qmconfig"),
    )
    checks.equal("resize: the task ends", wait(proxmox, node.qemu(200).resize.put(disk="scsi0", size="16G")), "OK")
    checks.that(
        "resize: the disk is larger",
        "size=16G" in node.qemu(200).config.get()["scsi0"],
        node.qemu(200).config.get()["scsi0"],
    )
    checks.equal(
        "resize: smaller fails the task",
        wait(proxmox, node.qemu(200).resize.put(disk="scsi0", size="1G")),
        "shrinking disks is not supported",
    )


def running(checks, proxmox, vm):
    code, text, _ = refusal(vm.agent.ping.post)
    checks.equal("agent: none in a stopped machine", (code, text), (500, "VM 200 is not running"))
    checks.equal("stop: a stopped one is no error", wait(proxmox, vm.status.stop.post()), "OK")
    code, text, _ = refusal(vm.status.reboot.post)
    checks.equal("reboot: a stopped one is", (code, text), (500, "VM 200 not running"))
    upid = vm.status.start.post()
    checks.equal("start: the task ends", (wait(proxmox, upid), labs.Tasks.decode_upid(upid)["type"]), ("OK", "qmstart"))
    status = vm.status.current.get()
    checks.equal(
        "status: it runs, and so says QEMU",
        (status["status"], status["qmpstatus"], status["agent"]),
        ("running", "running", 1),
    )
    checks.equal("agent: ping", vm.agent.ping.post(), {"result": {}})
    rows = {row["name"]: row for row in vm.agent("network-get-interfaces").get()["result"]}
    mac = vm.config.get()["net0"].split(",")[0].removeprefix("virtio=").lower()
    checks.equal("agent: the hardware address of its configuration", rows["eth0"]["hardware-address"], mac)
    found = [(entry["ip-address"], entry["prefix"]) for entry in rows["eth0"]["ip-addresses"]]
    checks.that("agent: the address of its cloud-init, prefix as a number", ("192.168.1.40", 24) in found, found)
    code, text, _ = refusal(vm.agent("exec-status").get, pid=4242)
    checks.that("agent: an unknown program", code == 500 and text.startswith("Agent error: "), text)
    vm.config.put(cores=4)
    rows = {row["key"]: row for row in vm.pending.get()}
    checks.equal(
        "pending: what a running machine cannot take waits",
        (str(rows["cores"]["value"]), str(rows["cores"]["pending"])),
        ("2", "4"),
    )
    checks.equal("reboot: the task ends", wait(proxmox, vm.status.reboot.post(timeout=10)), "OK")
    checks.that(
        "reboot: what waited is in force",
        vm.config.get()["cores"] == 4 and not any("pending" in row for row in vm.pending.get()),
    )


def snapshots(checks, proxmox, vm):
    checks.equal(
        "snapshot: with memory", wait(proxmox, vm.snapshot.post(snapname="warm", vmstate=1, description="x")), "OK"
    )
    rows = {row["name"]: row for row in vm.snapshot.get()}
    checks.equal(
        "snapshot: it says that it holds memory", (rows["warm"]["vmstate"], rows["warm"]["description"]), (1, "x")
    )
    vm.config.put(name="other")
    checks.equal("rollback: the task ends", wait(proxmox, vm.snapshot("warm").rollback.post()), "OK")
    checks.equal("rollback: the name is as before", vm.config.get()["name"], "builder")
    checks.equal("rollback: with memory it runs again", vm.status.current.get()["status"], "running")
    checks.equal("snapshot: removal ends", wait(proxmox, vm.snapshot("warm").delete()), "OK")


def copies(checks, proxmox, node):
    vm = node.qemu(200)
    checks.equal("shutdown: the task ends", wait(proxmox, vm.status.shutdown.post(timeout=10, forceStop=1)), "OK")
    checks.equal("template: the task ends", wait(proxmox, vm.template.post()), "OK")
    checks.that("template: its disk is a base", "base-200-disk-" in vm.config.get()["scsi0"], vm.config.get()["scsi0"])
    checks.equal(
        "template: it does not start", wait(proxmox, vm.status.start.post()), "you can't start a vm if it's a template"
    )
    checks.equal("clone: linked", wait(proxmox, vm.clone.post(newid=201, name="linked")), "OK")
    checks.equal("clone: full", wait(proxmox, vm.clone.post(newid=202, name="full", full=1)), "OK")
    numbers = sorted((row["vmid"], row["name"]) for row in node.qemu.get())
    checks.equal("clone: both are there", numbers, [(200, "builder"), (201, "linked"), (202, "full")])
    # A thin copy has a volume of its own, whose name says nothing of the base: unlike on ZFS it outlives it.
    checks.equal("delete: a base of thin copies may go", wait(proxmox, vm.delete(purge=1)), "OK")
    checks.equal("delete: the thin copy is still there", node.qemu(201).config.get()["name"], "linked")


def removal(checks, proxmox, node):
    for vmid in (201, 202):
        checks.equal(f"delete: {vmid}", wait(proxmox, node.qemu(vmid).delete(purge=1)), "OK")
    checks.equal("delete: no machine is left", node.qemu.get(), [])
    checks.equal("delete: no volume is left", node.storage("thin").content.get(), [])
    code, text, _ = refusal(node.qemu(200).status.current.get)
    checks.equal(
        "delete: what is gone is not there",
        (code, text),
        (500, "Configuration file 'nodes/pve1/qemu-server/200.conf' does not exist"),
    )


def programs(checks):
    """The agent runs real programs in the machines of a book's lab."""
    with labs.started(book=labs.BOOK) as lab:
        if lab.said["ssh"] is None:
            checks.skip("programs by the agent", "this kernel does not let the lab isolate machines")
            return
        proxmox = lab.by_token()
        vm = next(
            proxmox.nodes(row["node"]).qemu(row["vmid"])
            for row in proxmox.cluster.resources.get(type="vm")
            if row["type"] == "qemu" and row["status"] == "running"
        )
        checks.equal("agent: ping", vm.agent.ping.post(), {"result": {}})
        ended = run(vm, ["sh", "-c", "echo out; echo err >&2; exit 3"])
        checks.equal(
            "agent: output and exit code of a program",
            (ended["out-data"], ended["err-data"], ended["exitcode"]),
            ("out\n", "err\n", 3),
        )
        # proxmoxer splits a text into words as a shell would.
        checks.equal("agent: a command as one text", run(vm, "printf '%s|' a 'b c'")["out-data"], "a|b c|")
        vm.agent("file-write").post(file="/root/suite", content="one\ntwo ü\n")
        checks.equal(
            "agent: what is written is read", vm.agent("file-read").get(file="/root/suite")["content"], "one\ntwo ü\n"
        )
        checks.equal("agent: and is there for programs", run(vm, ["cat", "/root/suite"])["out-data"], "one\ntwo ü\n")
        pid = vm.agent.exec.post(command=["true"])["pid"]
        ended = until_exited(vm, pid)
        code, text, _ = refusal(vm.agent("exec-status").get, pid=pid)
        checks.that(
            "agent: an end is told once",
            ended["exitcode"] == 0 and code == 500 and text.startswith("Agent error: "),
            text,
        )


def run(vm, command):
    return until_exited(vm, vm.agent.exec.post(command=command)["pid"])


def until_exited(vm, pid):
    deadline = time.monotonic() + PROGRAM_S
    while time.monotonic() < deadline:
        status = vm.agent("exec-status").get(pid=pid)
        if status["exited"]:
            return status
        time.sleep(POLL_S)
    raise RuntimeError(f"the program {pid} did not end")
