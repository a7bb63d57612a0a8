"""Rules for the files. Each yields one sentence per violation."""

import re

import dashboards
import names
from files import RUNBOOKS


def violations(files):
    return [text for rule in RULES for text in rule(files)]


def metrics_exist(files):
    for place, expr in files.expressions():
        for metric in sorted(names.metrics_in(expr) - names.metrics()):
            yield f"{place} uses {metric}, which no program exports"


def labels_exist(files):
    used = [(place, names.labels_in(expr)) for place, expr in files.expressions()]
    for alert in files.alerts:
        used.append(
            (
                f"the alert {alert['alert']}",
                re.findall(r"\$labels\.(\w+)", str(alert["annotations"])),
            )
        )
    for place, target in files.queries():
        used.append((place, re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])))
    for place, labels in used:
        for label in sorted(set(labels) - names.labels()):
            yield f"{place} uses the label {label}, which no metric has"


def jobs_are_parts(files):
    """Prometheus scrapes all parts; queries use no other jobs."""
    jobs = {job["job_name"]: job for job in files.prometheus["scrape_configs"]}
    if jobs.keys() != names.parts():
        yield f"Prometheus scrapes {sorted(jobs)}, which are not the parts"
    for name, job in jobs.items():
        for source in job["dns_sd_configs"]:
            if (source["names"], source["port"]) != ([name], names.admin_port()):
                yield f"the job {name} does not scrape the admin port of its part"
    for place, expr in files.expressions():
        for job in sorted(names.jobs_in(expr) - names.parts()):
            yield f"{place} uses the job {job}, which is no part"


def alerts_are_explained(files):
    for alert in files.alerts:
        name, annotations = alert["alert"], alert["annotations"]
        if alert["labels"].get("severity") not in ("critical", "warning") or not annotations.get(
            "summary"
        ):
            yield f"the alert {name} lacks a severity or a summary"
        if annotations.get("runbook") != f"{RUNBOOKS}#{name.lower()}" or name not in files.runbooks:
            yield f"the alert {name} refers to no section of {RUNBOOKS}"
    for title in files.runbooks:
        if title not in [alert["alert"] for alert in files.alerts]:
            yield f"the section {title} of {RUNBOOKS} is about no alert"


def alerts_are_tested(files):
    for alert in files.alerts:
        expected = [
            bool(test["exp_alerts"]) for test in files.tests if test["alertname"] == alert["alert"]
        ]
        if set(expected) != {True, False}:
            yield f"the alert {alert['alert']} needs a test that fires and one that does not"


def dashboards_are_generated(files):
    if files.dashboards != dashboards.by_name():
        yield "the dashboards differ from dashboards.yaml: run `make dashboards`"
    if files.dashboards.keys() != names.parts() | {"overview"}:
        yield "a part lacks a dashboard"


RULES = [
    metrics_exist,
    labels_exist,
    jobs_are_parts,
    alerts_are_explained,
    alerts_are_tested,
    dashboards_are_generated,
]
