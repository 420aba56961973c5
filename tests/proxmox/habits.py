"""What other clients do on the wire: curl's ways of sending, and bytes over TLS that no library of ours would send."""

import json
import re
import socket
import ssl
import subprocess
import time
import urllib.parse

import lab as labs
from lab import TEMPLATE, wait

# How long curl or a raw exchange may take.
CURL_S = 30


def answers(checks):
    with labs.started(state=labs.STATE) as lab:
        proxmox = lab.by_token()
        curl = Curl(lab)
        connections(checks, curl)
        bodies(checks, curl, proxmox)
        booleans(checks, curl, proxmox)
        refused(checks, curl)
        raw(checks, lab)


class Curl:
    """curl with the lab's authority and token."""

    def __init__(self, lab):
        self.base = lab.url
        self.common = ["curl", "--silent", "--show-error", "--max-time", str(CURL_S), "--cacert", lab.ca]
        self.token = ["-H", f"Authorization: PVEAPIToken={lab.token}"]

    def run(self, *args):
        done = subprocess.run([*self.common, *args], capture_output=True, text=True, timeout=2 * CURL_S, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"curl {' '.join(args)}: {done.returncode} {done.stderr}")
        return done

    def said(self, path, *args):
        """Status, reason and body of one request; the body is read as JSON where it is some."""
        text = self.run("--include", *self.token, *args, self.base + path).stdout
        # Before the answer may come `100 Continue`, or a redirection.
        while True:
            head, _, text = text.partition("\n\n") if "\r\n\r\n" not in text else text.partition("\r\n\r\n")
            _, status, reason = (head.split("\n")[0].strip().split(" ", 2) + [""])[:3]
            if status != "100":
                break
        try:
            body = json.loads(text)
        except ValueError:
            body = text
        return int(status), reason, body

    def wrote(self, form, *paths, args=()):
        """What curl's `--write-out` tells about each of several requests."""
        urls = [word for path in paths for word in (self.base + path, "--output", "/dev/null")]
        return self.run(*self.token, *args, "--write-out", form + "\\n", *urls).stdout.split("\n")[:-1]


def connections(checks, curl):
    version = "/api2/json/version"
    checks.equal(
        "keep-alive: one connection for three requests",
        curl.wrote("%{http_code} %{num_connects}", version, version, version),
        ["200 1", "200 0", "200 0"],
    )
    checks.equal(
        "keep-alive: a refusal closes, the next request comes anew",
        curl.wrote("%{http_code} %{num_connects}", "/api2/json/nope", version),
        ["501 1", "200 1"],
    )
    checks.equal("HTTP/1.0: answered", curl.wrote("%{http_code}", version, args=["--http1.0"]), ["200"])
    head = curl.run("--http1.0", "--include", *curl.token, curl.base + version).stdout.lower()
    checks.that("HTTP/1.0: with a length or an end", "content-length:" in head or "connection: close" in head, head)
    checks.equal(
        "HTTP/1.0: kept alive where it is asked for",
        curl.wrote("%{http_code}", version, version, args=["--http1.0", "-H", "Connection: keep-alive"]),
        ["200", "200"],
    )
    checks.equal(
        "HTTP/2: is not spoken, 1.1 is",
        curl.wrote("%{http_code} %{http_version}", version, args=["--http2"]),
        ["200 1.1"],
    )
    checks.equal("TLS 1.2", curl.wrote("%{http_code}", version, args=["--tls-max", "1.2"]), ["200"])
    checks.equal("TLS 1.3", curl.wrote("%{http_code}", version, args=["--tlsv1.3"]), ["200"])
    checks.equal("compression: asked for and read", curl.said("/api2/json/access/roles", "--compressed")[0], 200)
    checks.equal(
        "paths: more slashes",
        [curl.said(path)[0] for path in ("/api2/json//version", "/api2/json/version/", "/api2/json/%76ersion")],
        [200] * 3,
    )
    checks.equal(
        "paths: `localhost` is the node one asks", curl.said("/api2/json/nodes/localhost/lxc")[2], {"data": []}
    )
    status, _, body = curl.said("/api2/extjs/nodes/pve1/lxc/999/config")
    checks.equal("extjs: always 200, the status inside", (status, body["success"], body["status"]), (200, 0, 500))
    plain = curl.base.replace("https://", "http://") + version
    answer = curl.run("--include", plain).stdout.split("\n")
    checks.that(
        "plain HTTP: sent to TLS",
        answer[0].startswith("HTTP/1.1 301")
        and f"location: {curl.base}{version}" in [line.strip().lower() for line in answer],
        answer,
    )
    posted = curl.run("--include", "--request", "POST", plain).stdout
    checks.that("plain HTTP: what is no read keeps its method", posted.startswith("HTTP/1.1 308"), posted)


def created(checks, proxmox, curl, name, vmid, *args):
    status, reason, body = curl.said("/api2/json/nodes/pve1/lxc", *args)
    if checks.equal(f"{name}: a container is created", (status, reason), (200, "OK")):
        checks.equal(f"{name}: and is there", wait(proxmox, body["data"]), "OK")
        config = proxmox.nodes("pve1").lxc(vmid).config.get()
        return {key: config.get(key) for key in ("memory", "onboot", "tags", "hostname", "swap", "unprivileged")}
    return None


def bodies(checks, curl, proxmox):
    form = {
        "ostemplate": TEMPLATE,
        "rootfs": "thin:1",
        "hostname": "web",
        "memory": "256",
        "swap": "0",
        "onboot": "1",
        "unprivileged": "1",
        "tags": "a;b",
    }
    text = urllib.parse.urlencode({**form, "vmid": "140"})
    by_form = created(checks, proxmox, curl, "form", 140, "--data", text)
    words = [
        word for name, value in {**form, "vmid": "141"}.items() for word in ("--data-urlencode", f"{name}={value}")
    ]
    by_words = created(checks, proxmox, curl, "form, word by word", 141, *words)
    typed = {**form, "vmid": 142, "memory": 256, "swap": 0, "onboot": True, "unprivileged": True, "tags": ["a", "b"]}
    as_json = ["-H", "Content-Type: application/json"]
    by_json = created(checks, proxmox, curl, "JSON with its types", 142, *as_json, "--data", json.dumps(typed))
    charset = ["-H", "Content-Type: application/json; charset=utf-8"]
    by_texts = created(
        checks, proxmox, curl, "JSON of texts", 143, *charset, "--data", json.dumps({**form, "vmid": "143"})
    )
    checks.equal("bodies: all four say the same", [by_words, by_json, by_texts], [by_form] * 3)
    expect = ["-H", "Expect: 100-continue"]
    by_expect = created(
        checks, proxmox, curl, "Expect: 100-continue", 144, *expect, "--data", text.replace("vmid=140", "vmid=144")
    )
    checks.equal("Expect: 100-continue: the same", by_expect, by_form)
    traced = curl.run(
        "--verbose", *curl.token, *expect, "--data", "x=1", curl.base + "/api2/json/nodes/pve1/lxc"
    ).stderr
    checks.that("Expect: 100-continue: the server says so before the body", "< HTTP/1.1 100" in traced, traced)
    long = "description=" + "x" * 7000
    config = "/api2/json/nodes/pve1/lxc/140/config"
    checks.equal(
        "bodies: a long one, for which curl asks first",
        curl.said(config, "--request", "PUT", "--data", long)[:2],
        (200, "OK"),
    )
    checks.equal("bodies: it came whole", len(proxmox.nodes("pve1").lxc(140).config.get()["description"].strip()), 7000)
    checks.equal(
        "bodies: the query wins",
        curl.said(config + "?memory=300", "--request", "PUT", "--data", "memory=400")[:2],
        (200, "OK"),
    )
    checks.equal("bodies: as one can see", proxmox.nodes("pve1").lxc(140).config.get()["memory"], 300)
    checks.equal(
        "bodies: a repeated key is a list",
        curl.said(config, "--request", "PUT", "--data", "delete=description&delete=tags")[:2],
        (200, "OK"),
    )
    left = proxmox.nodes("pve1").lxc(140).config.get()
    checks.that("bodies: both were deleted", "description" not in left and "tags" not in left, left)
    checks.equal(
        "bodies: a start needs none",
        curl.said("/api2/json/nodes/pve1/lxc/141/status/start", "--request", "POST")[:2],
        (200, "OK"),
    )
    checks.equal(
        "bodies: or an empty one",
        curl.said("/api2/json/nodes/pve1/lxc/142/status/start", "--data", "")[:2],
        (200, "OK"),
    )
    checks.equal(
        "bodies: or an empty object",
        curl.said("/api2/json/nodes/pve1/lxc/143/status/start", *as_json, "--data", "{}")[:2],
        (200, "OK"),
    )
    gone = curl.said("/api2/json/nodes/pve1/lxc/144?purge=1", "--request", "DELETE", "-H", "Content-Length: 0")
    checks.equal("bodies: a removal with the length 0", gone[:2], (200, "OK"))
    checks.equal("bodies: ends", wait(proxmox, gone[2]["data"]), "OK")


def booleans(checks, curl, proxmox):
    config = "/api2/json/nodes/pve1/lxc/140/config"
    for text in ("true", "yes", "on", "True", "2", ""):
        status, reason, body = curl.said(config, "--request", "PUT", "--data", f"onboot={text}")
        official = f"type check ('boolean') failed - got '{text}'"
        checks.equal(
            f"booleans: a form's `{text}` is none",
            (status, reason, body["errors"]),
            (400, "Parameter verification failed.", {"onboot": official}),
        )
    for text, stored in (("0", 0), ("1", 1)):
        curl.said(config, "--request", "PUT", "--data", f"onboot={text}")
        checks.equal(
            f"booleans: a form's `{text}` is one", proxmox.nodes("pve1").lxc(140).config.get()["onboot"], stored
        )
    for value, stored in ((False, 0), (True, 1), (0, 0), (1, 1)):
        curl.said(
            config, "--request", "PUT", "-H", "Content-Type: application/json", "--data", json.dumps({"onboot": value})
        )
        checks.equal(
            f"booleans: JSON's {json.dumps(value)} is one",
            proxmox.nodes("pve1").lxc(140).config.get()["onboot"],
            stored,
        )
    for text in ("yes", "off", "True", "0"):
        answer = curl.said(config, "--request", "PUT", "--data-urlencode", f"features=nesting={text}")
        checks.equal(f"booleans: inside a property string `{text}` is one", answer[:2], (200, "OK"))
    answer = curl.said(config, "--request", "PUT", "--data-urlencode", "features=nesting=maybe")
    official = "invalid format - format error\nfeatures.nesting: type check ('boolean') failed - got 'maybe'\n"
    checks.equal("booleans: inside a property string `maybe` is none", answer[2]["errors"], {"features": official})


def refused(checks, curl):
    version, lxc = "/api2/json/version", "/api2/json/nodes/pve1/lxc"
    head = curl.run("--head", *curl.token, curl.base + version).stdout
    checks.that("verbs: HEAD is not available", head.startswith("HTTP/1.1 501 method 'HEAD' not available"), head)
    checks.equal(
        "verbs: nor PATCH", curl.said(version, "--request", "PATCH")[:2], (501, "method 'PATCH' not available")
    )
    checks.equal(
        "verbs: a wrong one names itself",
        curl.said(version, "--request", "DELETE")[:2],
        (501, "Method 'DELETE /version' not implemented"),
    )
    chunked = curl.said(lxc, "-H", "Transfer-Encoding: chunked", "--data", "vmid=150")
    checks.equal("bodies: chunks are refused", chunked[:2], (501, "chunked transfer encoding not supported"))
    for verb in ("GET", "DELETE"):
        status = curl.said(lxc + "/140", "--request", verb, "--data", "purge=1")[:2]
        checks.equal(f"bodies: {verb} has none", status, (501, f"Unexpected content for method '{verb}'"))
    upload = curl.said(lxc, "-H", "Content-Type: text/plain", "--data", "vmid=150")
    checks.equal("bodies: of another type", upload[:2], (506, "upload 'Content-Type 'text/plain' not implemented"))
    large = subprocess.run(
        [*curl.common, *curl.token, "--include", "--data", "@-", curl.base + lxc],
        input="x=" + "y" * 600_000,
        capture_output=True,
        text=True,
        timeout=CURL_S,
        check=False,
    )
    checks.that(
        "bodies: a large one is refused, and curl reads why",
        "501 for data too large" in large.stdout,
        (large.returncode, large.stdout, large.stderr),
    )
    broken = curl.said(lxc, "-H", "Content-Type: application/json", "--data", "{bad")
    checks.that(
        "bodies: broken JSON is told", broken[0] == 500 and broken[1].startswith("malformed JSON string"), broken
    )
    none = curl.run("--include", curl.base + version).stdout
    checks.that("credentials: none", none.startswith("HTTP/1.1 401 No ticket"), none)


def raw(checks, lab):
    """Bytes over TLS, checked by the strictest rules that Python knows."""
    context = ssl.create_default_context(cafile=lab.ca)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    host, port = lab.host.rsplit(":", 1)

    def exchange(*parts, pause=0.0):
        with socket.create_connection((host, int(port)), CURL_S) as plain, context.wrap_socket(
            plain, server_hostname=host
        ) as tls:
            for part in parts:
                tls.sendall(part)
                time.sleep(pause)
            got = b""
            while part := tls.recv(65536):
                got += part
            return got.decode()

    token = f"Authorization: PVEAPIToken={lab.token}\r\n"
    get = f"GET /api2/json/version HTTP/1.1\r\nHost: {lab.host}\r\n{token}"
    last = f"{get}Connection: close\r\n\r\n".encode()
    one = exchange(last)
    checks.that("TLS: by strict rules, too", one.startswith("HTTP/1.1 200 OK\r\n"), one)
    two = exchange(f"{get}\r\n".encode() + last)
    checks.equal("pipelining: two requests in one write, two answers", len(re.findall("HTTP/1.1 200 OK", two)), 2)
    slow = exchange(*[last[at : at + 7] for at in range(0, len(last), 7)], pause=0.005)
    checks.that("slow: a few bytes at a time", slow.startswith("HTTP/1.1 200 OK\r\n"), slow)
    bare = exchange(f"GET /api2/json/version HTTP/1.0\r\n{token}\r\n".encode())
    checks.that("HTTP/1.0: without a host, ended by the server", bare.split(" ", 1)[1].startswith("200 OK\r\n"), bare)
    absolute = exchange(last.replace(b"GET /api2", f"GET {lab.url}/api2".encode()))
    checks.that("absolute: the whole URL as through a proxy", absolute.startswith("HTTP/1.1 200 OK\r\n"), absolute)
    lower = exchange(last.replace(b"Authorization", b"aUTHORIZATION"))
    checks.that("headers: names in any case", lower.startswith("HTTP/1.1 200 OK\r\n"), lower)
    ticket, _ = lab.by_password().get_tokens()
    cookie = f"Cookie: lang=de; PVEAuthCookie={urllib.parse.quote(ticket, safe='')}; x=y\r\n"
    among = exchange(last.replace(token.encode(), cookie.encode()))
    checks.that("cookies: the ticket among others", among.startswith("HTTP/1.1 200 OK\r\n"), among)
    body = b"memory=333"
    put = get.replace("GET /api2/json/version", "PUT /api2/json/nodes/pve1/lxc/140/config")
    put += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    late = exchange(put.encode(), body[:4], body[4:], pause=0.05)
    checks.that("bodies: late, in parts, without a type", late.startswith("HTTP/1.1 200 OK\r\n"), late)
    nonsense = exchange(b"NONSENSE\r\n\r\n")
    checks.that(
        "nonsense: 400, and the server lives on",
        nonsense.startswith("HTTP/1.1 400") and exchange(last).startswith("HTTP/1.1 200 OK\r\n"),
        nonsense,
    )
