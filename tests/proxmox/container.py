"""proxmoxer takes a container through its life: made, configured, started, set back, copied, moved, saved, removed."""

import re

import lab as labs
from lab import APPLIANCE, TEMPLATE, log, refusal, wait

STALE = "detected modified configuration - file changed by other user? Try again."
MAC = re.compile("hwaddr=(BC:24:11(?::[0-9A-F]{2}){3})")


def life(checks):
    """One container from its template to its end."""
    with labs.started(state=labs.STATE) as lab:
        proxmox = lab.by_token()
        node = proxmox.nodes("pve1")
        for part in (
            cluster,
            templates,
            creation,
            configuration,
            running,
            snapshots,
            copies,
            migration,
            backups,
            removal,
        ):
            part(checks, proxmox, node)


def cluster(checks, proxmox, node):
    checks.equal("version", proxmox.version.get()["release"], "9.2")
    rows = sorted(proxmox.nodes.get(), key=lambda row: row["node"])
    checks.equal(
        "nodes: both online", [(row["node"], row["status"]) for row in rows], [("pve1", "online"), ("pve2", "online")]
    )
    memory = node.status.get()["memory"]
    checks.equal("node status: memory adds up", memory["used"] + memory["free"], memory["total"])
    storages = {row["storage"]: row["type"] for row in node.storage.get()}
    checks.equal("storages: three with their types", storages, {"local": "dir", "thin": "lvmthin", "nas": "nfs"})
    checks.equal("nextid: the lowest free number, a text", proxmox.cluster.nextid.get(), "100")


def templates(checks, proxmox, node):
    def volumes():
        return sorted(row["volid"] for row in node.storage("local").content.get(content="vztmpl"))

    checks.equal("storage content: the template is there", volumes(), [TEMPLATE])
    checks.equal("aplinfo: the appliance is offered", [row["template"] for row in node.aplinfo.get()], [APPLIANCE])
    upid = node.aplinfo.post(storage="local", template=APPLIANCE)
    checks.equal("aplinfo: download ends", wait(proxmox, upid), "OK")
    checks.equal(
        "aplinfo: the template came into the storage", volumes(), sorted([TEMPLATE, f"local:vztmpl/{APPLIANCE}"])
    )
    code, _, errors = refusal(node.aplinfo.post, storage="local", template="nope.tar.zst")
    checks.equal("aplinfo: an unknown template is refused", (code, errors), (400, {"template": "no such template"}))
    url = node.storage("local")("download-url")
    code, _, errors = refusal(url.post, url="http://example.com/a.exe", content="vztmpl", filename="a.exe")
    checks.equal(
        "download-url: a wrong extension is refused", (code, errors), (400, {"filename": "wrong file extension"})
    )
    code, _, errors = refusal(url.post, url="http://example.com/a.iso", content="iso", filename="a.iso", checksum="00")
    missing = {"checksum-algorithm": "missing property required by 'checksum'"}
    checks.equal("download-url: a checksum needs its algorithm", (code, errors), (400, missing))
    checks.equal(
        "template: removal ends", wait(proxmox, node.storage("local").content(f"vztmpl/{APPLIANCE}").delete()), "OK"
    )
    checks.equal("template: it is gone", volumes(), [TEMPLATE])


def creation(checks, proxmox, node):
    upid = node.lxc.post(
        vmid=130,
        ostemplate=TEMPLATE,
        hostname="web",
        storage="thin",
        rootfs="thin:2",
        memory=512,
        swap=0,
        cores=2,
        net0="name=eth0,bridge=vmbr0,ip=192.168.1.30/24,gw=192.168.1.1",
        tags="b;A;b",
        description="made by the suite",
        unprivileged=1,
    )
    kind = labs.Tasks.decode_upid(upid)
    checks.equal(
        "create: the task is of that guest",
        (kind["node"], kind["type"], kind["id"], kind["user"]),
        ("pve1", "vzcreate", "130", "root@pam"),
    )
    checks.equal("create: the task ends", wait(proxmox, upid), "OK")
    lines = log(proxmox, upid)
    checks.that("create: the log tells of the template", any(f"extracting archive" in line for line in lines), lines)
    checks.equal("create: the log's last line", lines[-1], "TASK OK")
    config = node.lxc(130).config.get()
    checks.equal(
        "config: numbers are numbers",
        (config["memory"], config["swap"], config["cores"], config["unprivileged"]),
        (512, 0, 2, 1),
    )
    checks.equal("config: the root file system has a volume", config["rootfs"], "thin:vm-130-disk-0,size=2G")
    checks.equal("config: tags are sorted and single", config["tags"], "a;b")
    checks.equal("config: the description ends in a line break", config["description"], "made by the suite\n")
    checks.that("config: the network card got an address", MAC.search(config["net0"]), config["net0"])
    checks.that("config: a digest", re.fullmatch("[0-9a-f]{40}", config["digest"]), config["digest"])
    status = node.lxc(130).status.current.get()
    checks.equal("status: it is stopped", (status["status"], status["name"], status["uptime"]), ("stopped", "web", 0))
    checks.equal("interfaces: a stopped container has none", node.lxc(130).interfaces.get(), None)
    code, text, _ = refusal(node.lxc.post, vmid=130, ostemplate=TEMPLATE, rootfs="thin:1")
    checks.equal("create: a number that is taken", (code, text), (500, "CT 130 already exists on node 'pve1'"))
    upid = node.lxc.post(vmid=139, ostemplate="local:vztmpl/nope.tar.zst", rootfs="thin:1")
    checks.that(
        "create: a template that is not there fails the task",
        wait(proxmox, upid).startswith("unable to create CT 139 - "),
    )
    checks.equal("create: a failed creation leaves nothing", [row["vmid"] for row in node.lxc.get()], [130])
    checks.equal("create: nor a volume", [row["vmid"] for row in node.storage("thin").content.get()], [130])


def configuration(checks, proxmox, node):
    ct = node.lxc(130)
    digest = ct.config.get()["digest"]
    checks.equal("config: a change under the digest", ct.config.put(memory=1024, digest=digest), None)
    config = ct.config.get()
    checks.that(
        "config: another digest after a change", config["digest"] != digest and config["memory"] == 1024, config
    )
    code, text, _ = refusal(ct.config.put, memory=2048, digest=digest)
    checks.equal("config: a stale digest is refused with the official text", (code, text), (500, STALE))
    checks.equal("config: nothing changed by it", ct.config.get()["memory"], 1024)
    ct.config.put(mp0="thin:1,mp=/srv/data")
    checks.equal(
        "config: a mount point gets a volume", ct.config.get()["mp0"], "thin:vm-130-disk-1,mp=/srv/data,size=1G"
    )
    ct.config.put(delete="description")
    checks.that("config: an option is deleted", "description" not in ct.config.get())
    code, _, errors = refusal(ct.config.put, delete="bogus")
    checks.equal(
        "config: an unknown option is not deleted", (code, errors), (400, {"delete": "unknown option 'bogus'"})
    )
    code, text, _ = refusal(ct.config.put)
    checks.equal("config: nothing to change is refused", (code, text), (500, "no options specified"))


def running(checks, proxmox, node):
    ct = node.lxc(130)
    upid = ct.status.start.post()
    checks.equal("start: the task ends", (wait(proxmox, upid), labs.Tasks.decode_upid(upid)["type"]), ("OK", "vzstart"))
    status = ct.status.current.get()
    checks.that("status: it runs with a process", status["status"] == "running" and int(status["pid"]) > 0, status)
    code, text, _ = refusal(ct.status.start.post)
    checks.equal("start: twice is refused", (code, text), (500, "CT 130 already running"))
    rows = {row["name"]: row for row in ct.interfaces.get()}
    checks.equal("interfaces: its address", rows["eth0"]["inet"], "192.168.1.30/24")
    mac = MAC.search(ct.config.get()["net0"]).group(1)
    checks.equal("interfaces: the hardware address of its configuration", rows["eth0"]["hwaddr"].upper(), mac)
    rows = {row["vmid"]: row["status"] for row in proxmox.cluster.resources.get(type="vm") if "vmid" in row}
    checks.that("cluster resources: it is listed", 130 in rows, rows)
    code, text, _ = refusal(node.lxc(130).delete)
    checks.equal("delete: not while it runs", (code, text), (500, "unable to destroy CT 130 - container is running"))
    code, text, _ = refusal(node.lxc(130).clone.post, newid=131)
    busy = "Full clone of a running container is only possible from a snapshot"
    checks.equal("clone: not of a running one", (code, text), (500, busy))
    checks.equal("reboot: the task ends", wait(proxmox, ct.status.reboot.post()), "OK")
    checks.equal("reboot: it runs again", ct.status.current.get()["status"], "running")


def snapshots(checks, proxmox, node):
    ct = node.lxc(130)
    checks.equal(
        "snapshot: the task ends", wait(proxmox, ct.snapshot.post(snapname="before", description="clean")), "OK"
    )
    rows = {row["name"]: row for row in ct.snapshot.get()}
    checks.equal("snapshot: it is listed with its description", rows["before"]["description"].strip(), "clean")
    checks.equal(
        "snapshot: the present follows it", (rows["current"]["parent"], rows["current"]["running"]), ("before", 1)
    )
    exit_text = wait(proxmox, ct.snapshot.post(snapname="before"))
    checks.equal("snapshot: a name is used once", exit_text, "snapshot name 'before' already used")
    code, _, errors = refusal(ct.snapshot.post, snapname="x")
    checks.equal(
        "snapshot: a name has two characters",
        (code, errors),
        (400, {"snapname": "invalid format - invalid configuration ID 'x'\n"}),
    )
    ct.config.put(hostname="changed", memory=2048)
    checks.equal("rollback: the task ends", wait(proxmox, ct.snapshot("before").rollback.post(start=1)), "OK")
    config, status = ct.config.get(), ct.status.current.get()
    checks.equal(
        "rollback: the configuration is as before",
        (config["hostname"], config["memory"], config["parent"]),
        ("web", 1024, "before"),
    )
    checks.equal("rollback: `start` starts it", status["status"], "running")
    checks.equal(
        "rollback: a snapshot that is not there fails the task",
        wait(proxmox, ct.snapshot("nope").rollback.post()),
        "snapshot 'nope' does not exist",
    )
    checks.equal("snapshot: removal ends", wait(proxmox, ct.snapshot("before").delete()), "OK")
    checks.equal("snapshot: only the present is left", [row["name"] for row in ct.snapshot.get()], ["current"])


def copies(checks, proxmox, node):
    ct = node.lxc(130)
    checks.equal("shutdown: the task ends", wait(proxmox, ct.status.shutdown.post(timeout=10)), "OK")
    code, text, _ = refusal(ct.status.stop.post)
    checks.equal("stop: a stopped one is refused", (code, text), (500, "CT 130 not running"))
    checks.equal("clone: the task ends", wait(proxmox, ct.clone.post(newid=131, hostname="copy", full=1)), "OK")
    copy, config = node.lxc(131).config.get(), ct.config.get()
    checks.equal(
        "clone: its own name and volume", (copy["hostname"], copy["rootfs"]), ("copy", "thin:vm-131-disk-0,size=2G")
    )
    checks.that(
        "clone: another hardware address",
        MAC.search(copy["net0"]).group(1) != MAC.search(config["net0"]).group(1),
        copy["net0"],
    )
    upid = node.lxc(131).resize.put(disk="rootfs", size="+1G")
    checks.equal("resize: the task ends", (wait(proxmox, upid), labs.Tasks.decode_upid(upid)["type"]), ("OK", "resize"))
    checks.equal("resize: the disk is larger", node.lxc(131).config.get()["rootfs"], "thin:vm-131-disk-0,size=3G")
    code, text, _ = refusal(node.lxc(131).resize.put, disk="rootfs", size="1G")
    checks.equal("resize: not smaller", (code, text), (500, "unable to shrink disk size"))


def migration(checks, proxmox, node):
    away = proxmox.nodes("pve2").lxc(131)
    upid = node.lxc(131).migrate.post(target="pve2")
    checks.equal(
        "migrate: the task ends", (wait(proxmox, upid), labs.Tasks.decode_upid(upid)["type"]), ("OK", "vzmigrate")
    )
    code, text, _ = refusal(node.lxc(131).config.get)
    checks.equal(
        "migrate: it is gone from its node",
        (code, text),
        (500, "Configuration file 'nodes/pve1/lxc/131.conf' does not exist"),
    )
    checks.equal("migrate: it is at the other with its configuration", away.config.get()["hostname"], "copy")
    checks.equal("migrate: it starts there", wait(proxmox, away.status.start.post()), "OK")
    checks.equal("migrate: and stops there", wait(proxmox, away.status.stop.post()), "OK")
    code, text, _ = refusal(proxmox.nodes("pve9").lxc.get)
    unknown = "hostname lookup 'pve9' failed - failed to get address info for: pve9: Name or service not known"
    checks.equal("nodes: an unknown one does not resolve", (code, text), (500, unknown))


def backups(checks, proxmox, node):
    def archives():
        return [row for row in node.storage("local").content.get(content="backup")]

    node.lxc(130).config.put(memory=768)
    upid = node.vzdump.post(
        vmid=130, storage="local", mode="snapshot", compress="zstd", **{"notes-template": "{{guestname}} of the suite"}
    )
    checks.equal("vzdump: the task ends", wait(proxmox, upid), "OK")
    checks.that("vzdump: the log tells of its end", "INFO: Backup job finished successfully" in log(proxmox, upid))
    kept = archives()
    checks.equal(
        "vzdump: one archive with its notes",
        [(row["vmid"], row["format"], row["notes"]) for row in kept],
        [(130, "tar.zst", "web of the suite")],
    )
    node.lxc(130).config.put(memory=1024)
    code, text, _ = refusal(node.lxc.post, vmid=130, ostemplate=kept[0]["volid"], restore=1)
    checks.equal("restore: not over a guest", (code, text), (500, "CT 130 already exists on node 'pve1'"))
    upid = node.lxc.post(vmid=132, ostemplate=kept[0]["volid"], restore=1, storage="thin", unique=1)
    checks.equal(
        "restore: the task ends", (wait(proxmox, upid), labs.Tasks.decode_upid(upid)["type"]), ("OK", "vzrestore")
    )
    config = node.lxc(132).config.get()
    checks.equal("restore: the saved configuration", (config["hostname"], config["memory"]), ("web", 768))
    checks.equal("restore: a volume of its own", config["rootfs"].split(",")[0], "thin:vm-132-disk-0")
    checks.equal("restore: it starts", wait(proxmox, node.lxc(132).status.start.post()), "OK")
    checks.equal("restore: and stops", wait(proxmox, node.lxc(132).status.stop.post()), "OK")
    checks.equal("archive: removal ends", wait(proxmox, node.storage("local").content(kept[0]["volid"]).delete()), "OK")
    checks.equal("archive: it is gone", archives(), [])


def removal(checks, proxmox, node):
    node.lxc(130).config.put(protection=1)
    code, text, _ = refusal(node.lxc(130).delete)
    checks.equal(
        "delete: not while it is protected", (code, text), (500, "can't remove CT 130 - protection mode enabled")
    )
    node.lxc(130).config.put(protection=0)
    # DELETE carries its parameters in the query: proxmoxer does so.
    checks.equal(
        "delete: the task ends",
        wait(proxmox, node.lxc(130).delete(**{"purge": 1, "destroy-unreferenced-disks": 1})),
        "OK",
    )
    checks.equal("delete: the copy elsewhere, too", wait(proxmox, proxmox.nodes("pve2").lxc(131).delete()), "OK")
    checks.equal("delete: the restored one, too", wait(proxmox, node.lxc(132).delete()), "OK")
    checks.equal(
        "delete: no container is left", [row for name in ("pve1", "pve2") for row in proxmox.nodes(name).lxc.get()], []
    )
    left = [
        row["volid"]
        for name in ("pve1", "pve2")
        for storage in ("thin", "nas")
        for row in proxmox.nodes(name).storage(storage).content.get()
    ]
    checks.equal("delete: no volume is left", left, [])
    code, text, _ = refusal(node.lxc(130).status.current.get)
    checks.equal(
        "delete: what is gone is not there",
        (code, text),
        (500, "Configuration file 'nodes/pve1/lxc/130.conf' does not exist"),
    )
    kinds = [row["type"] for row in node.tasks.get(limit=500, vmid=130)]
    checks.equal("tasks: the container's life is on record", (kinds[0], kinds[-1]), ("vzdestroy", "vzcreate"))
