"""How proxmoxer raises what the API refuses: status, text, errors by parameter; tickets and tokens; rights."""

import time

from proxmoxer import ProxmoxAPI
from proxmoxer.core import AuthenticationError, ResourceException

import lab as labs
from lab import TEMPLATE, refusal, wait

# What a 401 takes on a real server, with room for a slow clock.
REFUSED_S = 2.9


def answers(checks):
    with labs.started(state=labs.STATE) as lab:
        parameters(checks, lab.by_token())
        tickets(checks, lab)
        credentials(checks, lab)
        rights(checks, lab)


def parameters(checks, proxmox):
    lxc = proxmox.nodes("pve1").lxc
    code, text, errors = refusal(
        lxc.post, vmid=50, memory=8, hostname="a_b", bogus=1, unprivileged="maybe", net0="foo=1", cmode="none"
    )
    checks.equal("parameters: 400 with the official text", (code, text), (400, "Parameter verification failed."))
    unknown = "property is not defined in schema and the schema does not allow additional properties"
    checks.equal(
        "parameters: a number out of its format",
        errors.pop("vmid"),
        "invalid format - value does not look like a valid VM ID\n",
    )
    checks.equal(
        "parameters: a number below its minimum", errors.pop("memory"), "value must have a minimum value of 16"
    )
    checks.equal(
        "parameters: a name out of its format",
        errors.pop("hostname"),
        "invalid format - value does not look like a valid DNS name\n",
    )
    checks.equal("parameters: an unknown one", errors.pop("bogus"), unknown)
    checks.equal("parameters: a boolean", errors.pop("unprivileged"), "type check ('boolean') failed - got 'maybe'")
    checks.equal(
        "parameters: a choice",
        errors.pop("cmode"),
        "value 'none' does not have a value in the enumeration 'shell, console, tty'",
    )
    checks.equal("parameters: a missing one", errors.pop("ostemplate"), "property is missing and it is not optional")
    lines = errors.pop("net0").split("\n")
    checks.that(
        "parameters: keys of a property string, each on its line",
        lines[0] == "invalid format - format error" and f"net0.foo: {unknown}" in lines,
        lines,
    )
    checks.equal("parameters: no other is named, all at once", errors, {})
    try:
        lxc.post(vmid=50)
    except ResourceException as error:
        checks.that(
            "parameters: proxmoxer's text shows status, reason and errors",
            str(error).startswith("400 Bad Request: Parameter verification failed. - {"),
            str(error),
        )
    code, text, _ = refusal(proxmox.nodes("pve1").lxc(130)("exec").post, command="true")
    checks.equal(
        "paths: there is no exec of containers",
        (code, text),
        (501, "Method 'POST /nodes/pve1/lxc/130/exec' not implemented"),
    )
    code, text, _ = refusal(proxmox.nope.get)
    checks.equal("paths: an unknown one", (code, text), (501, "Method 'GET /nope' not implemented"))


def tickets(checks, lab):
    proxmox = lab.by_password()
    ticket, csrf = proxmox.get_tokens()
    checks.that(
        "ticket: of the user, with a CSRF token", ticket.startswith("PVE:root@pam:") and ":" in csrf, ticket[:13]
    )
    lxc = proxmox.nodes("pve1").lxc
    upid = lxc.post(vmid=130, ostemplate=TEMPLATE, rootfs="thin:1", features="nesting=1,keyctl=1")
    checks.equal("ticket: root may set features that a token may not", wait(proxmox, upid), "OK")
    code, text, _ = refusal(lab.by_token().nodes("pve1").lxc(130).config.put, features="nesting=1,fuse=1")
    checks.equal(
        "token: root's token may not",
        (code, text),
        (403, "Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)"),
    )
    # The old ticket is a password while it lives: what proxmoxer does after an hour.
    proxmox._backend.auth._get_new_tokens()
    renewed, _ = proxmox.get_tokens()
    checks.that("ticket: renewed by itself", renewed.startswith("PVE:root@pam:"), renewed[:13])
    checks.equal("ticket: and used", lxc(130).config.put(memory=640), None)
    checks.equal("ticket: the change is there", lxc(130).config.get()["memory"], 640)
    proxmox._backend.auth.csrf_prevention_token = csrf[:-2] + "xx"
    code, text, _ = refusal(lxc(130).config.put, memory=700)
    checks.equal("ticket: a wrong CSRF token", (code, text), (401, "Permission denied - invalid csrf token"))
    code, text, _ = refusal(lab.by_token().access.ticket.post, username="root@pam", password="x")
    official = "Permission check failed (URI '/access/ticket' not available with API token, need proper ticket."
    checks.equal("token: gets no ticket", (code, text), (403, official))


def credentials(checks, lab):
    started = time.monotonic()
    try:
        lab.by_password(password="wrong")
        said = "not refused"
    except AuthenticationError as error:
        said = str(error)
    checks.that("login: a wrong password is refused", said.endswith("code: 401"), said)
    checks.that("login: after three seconds", time.monotonic() - started >= REFUSED_S)
    code, text, errors = refusal(lab.by_token("root@pam!suite=00000000-0000-0000-0000-000000000000").version.get)
    checks.equal("token: a wrong secret: the reason and no body", (code, text), (401, "Authentication failed!"))
    checks.equal("token: the body is empty", errors, {"errors": b""})
    try:
        ProxmoxAPI(
            lab.host, user="root@pam", token_name="suite", token_value=labs.TOKEN, timeout=labs.ANSWER_S
        ).version.get()
        said = "not refused"
    except Exception as error:  # urllib3's or requests' own, by version
        said = f"{type(error).__name__}: {error}"
    checks.that("TLS: without the authority it is not trusted", "CERTIFICATE_VERIFY_FAILED" in said, said)


def rights(checks, lab):
    guest = lab.by_token(f"guest@pve!suite={labs.TOKEN}")
    checks.equal("rights: what may be seen", guest.nodes("pve1").lxc(130).config.get()["memory"], 640)
    code, text, _ = refusal(guest.nodes("pve1").lxc(130).status.start.post)
    checks.equal(
        "rights: what is missing is named", (code, text), (403, "Permission check failed (/vms/130, VM.PowerMgmt)")
    )
    checks.equal("rights: lists show what is one's own", [row["vmid"] for row in guest.nodes("pve1").lxc.get()], [130])
    code, text, _ = refusal(guest.nodes("pve1").qemu(200).status.current.get)
    checks.equal("rights: of another", (code, text), (403, "Permission check failed (/vms/200, VM.Audit)"))
    mine = guest.access.permissions.get()
    checks.that(
        "rights: what one has", mine["/vms/130"]["VM.Audit"] == 1 and "VM.PowerMgmt" not in mine["/vms/130"], mine
    )
