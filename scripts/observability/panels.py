"""Makes Grafana's JSON of rows of panels."""

from dataclasses import dataclass, field

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
HEIGHTS = {"stat": 4, "timeseries": 8, "table": 8}


@dataclass
class Panel:
    """A panel with its queries: each a pair of an expression and of a legend."""

    title: str
    unit: str
    queries: list
    description: str = ""
    kind: str = "timeseries"
    steps: list = field(default_factory=list)


def graph(title, unit, *queries, description=""):
    return Panel(title, unit, list(queries), description)


def stat(title, unit, query, description="", steps=()):
    """One number. From each step, a value with a colour, it has that colour; below it is green."""
    return Panel(title, unit, [(query, "")], description, "stat", list(steps))


def table(title, query, description=""):
    return Panel(title, "none", [(query, "")], description, "table")


def dashboard(uid, title, *rows):
    return {
        "uid": uid,
        "title": title,
        "tags": ["parlance"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [
            {"type": "dashboards", "title": "Parlance", "tags": ["parlance"], "asDropdown": True, "keepTime": True}
        ],
        "templating": {
            "list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": list(placed(rows)),
    }


def placed(rows):
    """The panels of each row share its width; those of one row are of one kind."""
    number, top = 0, 0
    for row in rows:
        width, height = WIDTH // len(row), HEIGHTS[row[0].kind]
        for place, panel in enumerate(row):
            number += 1
            yield rendered(panel, number, {"x": place * width, "y": top, "w": width, "h": height})
        top += height


def rendered(panel, number, position):
    defaults = {"unit": panel.unit}
    if panel.kind == "timeseries":
        defaults["min"] = 0
        options = {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    elif panel.kind == "stat":
        steps = [{"value": None, "color": "green"}, *({"value": value, "color": color} for value, color in panel.steps)]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        options = {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}
    else:
        options = {"showHeader": True}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": position,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [target(panel, place, *query) for place, query in enumerate(panel.queries)],
    }


def target(panel, place, expr, legend):
    made = {"refId": chr(ord("A") + place), "datasource": DATASOURCE, "expr": expr, "legendFormat": legend}
    if panel.kind == "table":
        made |= {"format": "table", "instant": True}
    return made
