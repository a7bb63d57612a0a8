"""Checks rendered manifests, each file by itself."""

import sys

from manifests import Manifests
from rules import violations


def main(paths):
    overlays = {path: Manifests.read(path) for path in paths}
    found = [
        f"{path}: {text}" for path, overlay in overlays.items() for text in violations(overlay)
    ]
    for line in found:
        print(line, file=sys.stderr)
    objects = sum(len(overlay.objects) for overlay in overlays.values())
    print(f"k8s: {objects} objects, {len(found)} violations")
    return 1 if found else 0


sys.exit(main(sys.argv[1:]))
