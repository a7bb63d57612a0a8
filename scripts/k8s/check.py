"""Checks rendered manifests, each file by itself, and then that the checks would find what they are for."""

import sys

from manifests import Manifests
from mutations import MUTATIONS, mutate
from rules import faults


def main(paths):
    overlays = {path: Manifests.read(path) for path in paths}
    found = [f"{path}: {fault}" for path, overlay in overlays.items() for fault in faults(overlay)]
    missed = [] if found else self_test(overlays)
    for line in found + missed:
        print(line, file=sys.stderr)
    if found or missed:
        return 1
    objects = sum(len(overlay.objects) for overlay in overlays.values())
    print(
        f"k8s: {objects} objects are valid and agree with each other and with the code; {len(MUTATIONS)} mistakes would be found"
    )
    return 0


def self_test(overlays):
    """Makes one mistake at a time, in every overlay that has a place for it, where it must be found."""
    missed = []
    for mutation in MUTATIONS:
        mutated = [wrong for overlay in overlays.values() if (wrong := mutate(overlay, mutation))]
        if not mutated:
            missed.append(f"there is nowhere to make this mistake: {mutation.name}")
        if not all(any(mutation.fault in fault for fault in faults(wrong)) for wrong in mutated):
            missed.append(f"this mistake is not found: {mutation.name}")
    return missed


sys.exit(main(sys.argv[1:]))
