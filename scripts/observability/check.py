"""Checks the files in deploy/observability, and writes the queries of the dashboards as rules."""

import re
import sys

import yaml

from files import Files
from rules import violations


def main(path):
    files = Files.read()
    found = violations(files)
    for line in found:
        print(line, file=sys.stderr)
    write_queries(files, path)
    queries = sum(1 for _ in files.queries())
    print(f"observability: {len(files.alerts)} alerts, {queries} queries, {len(found)} violations")
    return 1 if found else 0


def write_queries(files, path):
    """For promtool to parse."""

    def rules(board):
        return [as_rule(panel, one) for panel in board["panels"] for one in panel["targets"]]

    groups = [{"name": name, "rules": rules(board)} for name, board in files.dashboards.items()]
    with open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump({"groups": groups}, file)


def as_rule(panel, target):
    name = re.sub(r"\W+", "_", panel["title"])
    expr = target["expr"].replace("$__rate_interval", "1m")
    return {"record": f"panel{panel['id']}:{name}:{target['refId']}", "expr": expr}


sys.exit(main(sys.argv[1]))
