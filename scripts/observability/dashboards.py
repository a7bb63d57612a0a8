"""Generates Grafana's JSON from deploy/observability/dashboards.yaml. Run, it writes the files."""

import json
from pathlib import Path

import yaml

FOLDER = Path("deploy/observability")
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
HEIGHTS = {"stat": 4, "timeseries": 8, "table": 8}
STAT = {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}
OPTIONS = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": STAT,
    "table": {"showHeader": True},
}


def by_name():
    """The dashboards by the names of their files."""
    source = yaml.safe_load((FOLDER / "dashboards.yaml").read_text())
    return {name: dashboard(name, rows, source) for name, rows in source["dashboards"].items()}


def dashboard(name, rows, source):
    links = {"type": "dashboards", "title": "Parlance", "tags": ["parlance"]}
    datasource = {"name": "datasource", "label": "Prometheus", "type": "datasource"}
    return {
        "uid": f"parlance-{name}",
        "title": f"Parlance: {name}",
        "tags": ["parlance"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [links | {"asDropdown": True, "keepTime": True}],
        "templating": {"list": [datasource | {"query": "prometheus"}]},
        "panels": list(placed(rows, name, source)),
    }


def placed(rows, name, source):
    """The panels of a row share its width; all panels of a row are of one kind."""
    number, top = 0, 0
    for row in rows:
        job = row["job"] if isinstance(row, dict) else name
        panels = source["rows"][row["row"]] if isinstance(row, dict) else row
        panels = [source["panels"][one] if isinstance(one, str) else one for one in panels]
        width, height = WIDTH // len(panels), HEIGHTS[panels[0].get("kind", "timeseries")]
        for place, panel in enumerate(panels):
            number += 1
            position = {"x": place * width, "y": top, "w": width, "h": height}
            yield rendered(panel, number, position, job)
        top += height


def rendered(panel, number, position, job):
    kind = panel.get("kind", "timeseries")
    defaults = {"unit": panel["unit"]}
    if kind == "timeseries":
        defaults["min"] = 0
    elif kind == "stat":
        steps = [{"value": None, "color": "green"}]
        steps += [
            {"value": value, "color": color} for value, color in panel.get("steps", {}).items()
        ]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    return {
        "id": number,
        "type": kind,
        "title": panel["title"],
        "description": panel.get("description", ""),
        "datasource": DATASOURCE,
        "gridPos": position,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": OPTIONS[kind],
        "targets": list(targets(panel, kind, job)),
    }


def targets(panel, kind, job):
    queries = dict(panel.get("queries", {}))
    if metric := panel.get("quantiles"):
        buckets = f"sum by (le) (rate({metric}_bucket[$__rate_interval]))"
        queries |= {f"histogram_quantile(0.5, {buckets})": "median"}
        queries |= {f"histogram_quantile(0.99, {buckets})": "p99"}
    for place, (expr, legend) in enumerate(queries.items()):
        target = {"refId": chr(ord("A") + place), "datasource": DATASOURCE}
        target |= {"expr": expr.replace("$JOB", job), "legendFormat": legend}
        yield target | ({"format": "table", "instant": True} if kind == "table" else {})


if __name__ == "__main__":
    for name, made in by_name().items():
        file = FOLDER / "grafana/dashboards" / f"{name}.json"
        file.write_text(json.dumps(made, indent=2) + "\n")
