#!/usr/bin/env python3
"""Derive `kube-1.36.json` (resources and schemas of the Kubernetes API) and `flux.json` (Flux's custom resources).

usage: go mod download k8s.io/{kubernetes@v1.36.4,api@v0.36.4,apimachinery@v0.36.4,apiextensions-apiserver@v0.36.4} \
         github.com/fluxcd/{source-controller@v1.9.1,kustomize-controller@v1.9.4,helm-controller@v1.6.3}
       python3 derive_kube.py kube "$(go env GOMODCACHE)/k8s.io/kubernetes@v1.36.4/api" > kube-1.36.json
       python3 derive_kube.py flux "$(go env GOMODCACHE)/github.com/fluxcd" > flux.json   (needs PyYAML)

Only facts are kept: names, types, list kinds, merge keys, verbs, ranges, patterns. No description is read or written.
"""
import glob
import json
import re
import sys

# What the lab serves. The rest of the API answers 404 there, as a server does that has it switched off.
SERVED = {
    ("", "v1"): None,
    ("apps", "v1"): None,
    ("batch", "v1"): None,
    ("autoscaling", "v2"): None,
    ("policy", "v1"): None,
    ("rbac.authorization.k8s.io", "v1"): None,
    ("networking.k8s.io", "v1"): {"ingresses", "ingressclasses", "networkpolicies"},
    ("storage.k8s.io", "v1"): {"storageclasses", "csidrivers"},
    ("scheduling.k8s.io", "v1"): None,
    ("coordination.k8s.io", "v1"): None,
    ("node.k8s.io", "v1"): None,
    ("discovery.k8s.io", "v1"): None,
    ("apiextensions.k8s.io", "v1"): None,
    ("admissionregistration.k8s.io", "v1"): {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"},
    ("authentication.k8s.io", "v1"): {"selfsubjectreviews", "tokenreviews"},
    ("authorization.k8s.io", "v1"): None,
}
LEFT_OUT = {"podtemplates", "replicationcontrollers", "componentstatuses", "bindings"}
SUBRESOURCES = {
    "status", "scale", "log", "exec", "attach", "portforward", "eviction", "binding", "token", "finalize",
}
KEEP = (
    "type", "format", "default", "enum", "required", "nullable", "minimum", "maximum", "minLength", "maxLength", "pattern",
    "minItems", "maxItems", "exclusiveMinimum", "exclusiveMaximum", "minProperties", "maxProperties", "multipleOf", "uniqueItems",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type", "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource", "x-kubernetes-group-version-kind",
)


def short(ref):
    return ref.rsplit("/", 1)[1]


def reduce(schema):
    out = {}
    if "$ref" in schema:
        out["ref"] = short(schema["$ref"])
    if len(schema.get("allOf", [])) == 1 and "$ref" in schema["allOf"][0]:
        out["ref"] = short(schema["allOf"][0]["$ref"])
    for key in KEEP:
        if key in schema:
            out[key] = schema[key]
    if "oneOf" in schema and {"type": "integer"} in schema["oneOf"]:
        out["x-kubernetes-int-or-string"] = True
    if "properties" in schema:
        out["properties"] = {name: reduce(one) for name, one in schema["properties"].items()}
    if isinstance(schema.get("items"), dict):
        out["items"] = reduce(schema["items"])
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        out["additionalProperties"] = reduce(extra)
    elif extra is True:
        out["additionalProperties"] = {}
    return out


def refs(schema, found):
    if isinstance(schema, dict):
        if "ref" in schema and isinstance(schema["ref"], str):
            found.add(schema["ref"])
        for value in schema.values():
            refs(value, found)
    elif isinstance(schema, list):
        for value in schema:
            refs(value, found)


def numbers(modules):
    """Field numbers of the wire format, by type: `{"1": "metadata"}`."""
    out = {}
    for path in glob.glob(f"{modules}/**/generated.proto", recursive=True):
        text = open(path).read()
        package = re.search(r"^package ([\w.]+);", text, re.M).group(1)
        for name, body in re.findall(r"^message (\w+) \{\n(.*?)^\}", text, re.M | re.S):
            fields = re.findall(r"^  (?:optional |repeated )?(map<[^>]*>|[\w.]+) (\w+) = (\d+);", body, re.M)
            full = "io.k8s." + package.removeprefix("k8s.io.")
            out[f"{full}.{name}"] = {
                number: (field, kind.lstrip(".").replace("k8s.io.", "io.k8s.") if "." in kind else f"{full}.{kind}")
                for kind, field, number in fields
            }
    return out


def named(own, properties, wire):
    """The same with the names that JSON has; what is inlined there has numbers of its own here."""
    lower = {name.lower(): name for name in properties}
    out = {}
    for number, (field, kind) in own.items():
        if field in properties:
            out[number] = field
        elif field.lower() in lower:
            out[number] = lower[field.lower()]
        elif kind in wire:
            out[number] = named(wire[kind], properties, wire)
    return out


def kube(api):
    with open(f"{api}/discovery/aggregated_v2.json") as file:
        groups = json.load(file)["items"]
    core = json.load(open(f"{api}/discovery/api__v1.json"))
    served = []
    for group in groups:
        name = group["metadata"].get("name", "")
        for version in group["versions"]:
            key = (name, version["version"])
            if key not in SERVED:
                continue
            for one in version["resources"]:
                plural = one["resource"]
                if plural in LEFT_OUT or (SERVED[key] is not None and plural not in SERVED[key]):
                    continue
                served.append({
                    "group": name, "version": version["version"], "plural": plural, "kind": one["responseKind"]["kind"],
                    "singular": one["singularResource"], "namespaced": one["scope"] == "Namespaced", "verbs": one["verbs"],
                    "short": one.get("shortNames", []), "categories": one.get("categories", []),
                    "subresources": [
                        {"name": sub["subresource"], "verbs": sub["verbs"], "kind": sub["responseKind"]["kind"],
                         "group": sub["responseKind"].get("group", ""), "version": sub["responseKind"].get("version", "")}
                        for sub in one.get("subresources", []) if sub["subresource"] in SUBRESOURCES
                    ],
                })
    # The aggregated file has no core group: it is of the legacy list.
    subs = {}
    for one in core["resources"]:
        if "/" in one["name"]:
            plural, sub = one["name"].split("/", 1)
            if sub in SUBRESOURCES:
                subs.setdefault(plural, []).append({
                    "name": sub, "verbs": one["verbs"], "kind": one["kind"], "group": one.get("group", ""),
                    "version": one.get("version", "v1"),
                })
    for one in core["resources"]:
        if "/" in one["name"] or one["name"] in LEFT_OUT:
            continue
        if any(have["group"] == "" and have["plural"] == one["name"] for have in served):
            continue
        served.append({
            "group": "", "version": "v1", "plural": one["name"], "kind": one["kind"], "singular": one["singularName"],
            "namespaced": one["namespaced"], "verbs": one["verbs"], "short": one.get("shortNames", []),
            "categories": one.get("categories", []), "subresources": subs.get(one["name"], []),
        })
    types = {}
    for path in sorted(glob.glob(f"{api}/openapi-spec/v3/*.json")):
        for name, schema in json.load(open(path)).get("components", {}).get("schemas", {}).items():
            types.setdefault(name, reduce(schema))
    kinds = {}
    for name, schema in types.items():
        for gvk in schema.get("x-kubernetes-group-version-kind", []):
            kinds.setdefault((gvk["group"], gvk["version"], gvk["kind"]), name)
    wanted = [("autoscaling", "v1", "Scale"), ("policy", "v1", "Eviction"), ("", "v1", "Binding"),
              ("authentication.k8s.io", "v1", "TokenRequest"), ("", "v1", "DeleteOptions")]
    wanted += [(one["group"], one["version"], one["kind"]) for one in served]
    queue = {kinds[one] for one in wanted if one in kinds}
    queue |= {f"io.k8s.apimachinery.pkg.apis.meta.v1.{name}" for name in ("DeleteOptions", "Status", "Patch")}
    keep = {}
    while queue:
        name = queue.pop()
        if name in keep:
            continue
        keep[name] = types[name]
        found = set()
        refs(types[name], found)
        queue |= found - set(keep)
    wire = {}
    for module in ("api", "apimachinery", "apiextensions-apiserver"):
        found = glob.glob(f"{api}/../../{module}@v0.36.*")
        wire |= numbers(sorted(found)[-1])
    for name, schema in keep.items():
        if name in wire and "properties" in schema:
            schema["pb"] = named(wire[name], schema["properties"], wire)
        gvks = schema.pop("x-kubernetes-group-version-kind", None)
        # Options belong to every group; a list of them all tells nothing here.
        if gvks and len(gvks) == 1:
            schema["gvk"] = [gvks[0]["group"], gvks[0]["version"], gvks[0]["kind"]]
    return {"version": "v1.36.4", "resources": served, "types": dict(sorted(keep.items()))}


def strip(node):
    if isinstance(node, dict):
        return {key: strip(value) for key, value in node.items()
                if not (key == "description" and isinstance(value, str)) and key != "x-kubernetes-validations"}
    if isinstance(node, list):
        return [strip(one) for one in node]
    return node


def flux(root):
    import yaml

    wanted = {"gitrepositories", "ocirepositories", "helmrepositories", "helmcharts", "kustomizations", "helmreleases"}
    out = []
    for path in sorted(glob.glob(f"{root}/*-controller@*/config/crd/bases/*.yaml")):
        for crd in yaml.safe_load_all(open(path)):
            if not crd or crd["spec"]["names"]["plural"] not in wanted:
                continue
            spec = crd["spec"]
            spec["versions"] = [version for version in spec["versions"] if version["storage"]]
            out.append({"apiVersion": crd["apiVersion"], "kind": crd["kind"],
                        "metadata": {"name": crd["metadata"]["name"]}, "spec": strip(spec)})
    return out


if __name__ == "__main__":
    json.dump({"kube": kube, "flux": flux}[sys.argv[1]](sys.argv[2]), sys.stdout, separators=(",", ":"))
    print()
