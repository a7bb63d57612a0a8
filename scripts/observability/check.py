"""Checks what is in deploy/observability, and then that the checks would find what they are for."""

import re
import sys

import yaml

from files import Files
from mutations import MUTATIONS, mutate
from rules import faults


def main(path):
    files = Files.read()
    found = faults(files)
    missed = [] if found else self_test(files)
    for line in found + missed:
        print(line, file=sys.stderr)
    if found or missed:
        return 1
    write_queries(files, path)
    queries = sum(1 for _ in files.queries())
    print(
        f"observability: {len(files.alerts)} alerts and {queries} queries use what is there; "
        f"{len(MUTATIONS)} mistakes would be found"
    )
    return 0


def self_test(files):
    return [
        f"this mistake is not found: {mutation.name}"
        for mutation in MUTATIONS
        if not any(mutation.fault in fault for fault in faults(mutate(files, mutation)))
    ]


def write_queries(files, path):
    """Writes the queries of the dashboards as rules, for promtool to parse."""
    groups = [
        {
            "name": name,
            "rules": [as_rule(panel, target) for panel in dashboard["panels"] for target in panel["targets"]],
        }
        for name, dashboard in files.dashboards.items()
    ]
    with open(path, "w") as file:
        yaml.safe_dump({"groups": groups}, file)


def as_rule(panel, target):
    name = re.sub(r"\W+", "_", panel["title"])
    expr = target["expr"].replace("$__rate_interval", "1m")
    return {"record": f"panel{panel['id']}:{name}:{target['refId']}", "expr": expr}


sys.exit(main(sys.argv[1]))
