"""The checked files."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

FOLDER = Path("deploy/observability")
RUNBOOKS = Path("docs/runbooks.md")


@dataclass
class Files:
    prometheus: dict
    alerts: list
    # The tests of alerts, each with the name of an alert and a time.
    tests: list
    # Dashboards by the names of their files.
    dashboards: dict
    # The titles of the sections in the runbooks.
    runbooks: list

    @staticmethod
    def read():
        alerts = read_yaml(FOLDER / "alerts.yaml")
        tests = [
            test
            for file in sorted(FOLDER.glob("tests/*.yaml"))
            for test in read_yaml(file)["tests"]
        ]
        return Files(
            prometheus=read_yaml(FOLDER / "prometheus.yaml"),
            alerts=[rule for group in alerts["groups"] for rule in group["rules"]],
            tests=[one for test in tests for one in test["alert_rule_test"]],
            dashboards={
                file.stem: json.loads(file.read_text())
                for file in FOLDER.glob("grafana/dashboards/*.json")
            },
            runbooks=re.findall(r"^## (.*)", RUNBOOKS.read_text(), re.MULTILINE),
        )

    def queries(self):
        """The place of each dashboard query, and the query."""
        for name, dashboard in sorted(self.dashboards.items()):
            for panel in dashboard["panels"]:
                for target in panel["targets"]:
                    yield f"the dashboard {name}, {panel['title']}", target

    def expressions(self):
        """The place of each expression, and the expression."""
        for alert in self.alerts:
            yield f"the alert {alert['alert']}", alert["expr"]
        for place, target in self.queries():
            yield place, target["expr"]


def read_yaml(path):
    return yaml.safe_load(path.read_text())
