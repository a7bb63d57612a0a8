"""The known metrics and labels: those of the guide, as the source declares them, and those that
Prometheus adds."""

import re
from functools import cache
from pathlib import Path

GUIDE = Path("docs/operations/metrics.md")
SOURCES = ("crates/runtime/src", "gateway/src", "services")
ADMIN_SETTINGS = Path("crates/runtime/src/config.rs")

# The metrics of the Prometheus client for every process on Linux.
OF_PROCESSES = {
    f"process_{name}"
    for name in (
        "cpu_seconds_total max_fds open_fds resident_memory_bytes start_time_seconds threads "
        "virtual_memory_bytes"
    ).split()
}
OF_PROMETHEUS = {"up", "ALERTS"}
LABELS_OF_PROMETHEUS = {"job", "instance", "le", "alertname", "alertstate", "severity"}


def documented():
    """The names in the table of the guide. A test compares them with a running stack."""
    section = GUIDE.read_text().split("\n## Metrics\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([\w.]+)`", section, re.MULTILINE)


@cache
def metrics():
    """All names that a query may use."""
    shown = (form for name in documented() for form in forms(name))
    return OF_PROCESSES | OF_PROMETHEUS | set(shown)


def forms(name):
    """The names of a metric's series in Prometheus."""
    pattern = rf'(\w+)\(\s*"{re.escape(name)}"(.*?)(?:\.build\(\)|;)'
    declared = re.search(pattern, source(), re.DOTALL)
    if declared is None:
        raise SystemExit(f"{GUIDE} lists {name}, which no program declares")
    method, rest = declared.groups()
    base = name.replace(".", "_")
    # Functions that declare histograms of durations, with the name as their argument.
    is_duration = method == "seconds" or name.startswith("rpc.")
    if is_duration or 'with_unit("s")' in rest:
        base += "_seconds"
    if is_duration or method.endswith("histogram"):
        return [f"{base}_bucket", f"{base}_sum", f"{base}_count"]
    is_counter = method.endswith("counter") and not method.endswith("up_down_counter")
    return [f"{base}_total" if is_counter else base]


@cache
def labels():
    declared = re.findall(r'KeyValue::new\("([\w.]+)"', source())
    return LABELS_OF_PROMETHEUS | {name.replace(".", "_") for name in declared}


@cache
def source():
    files = (file for folder in SOURCES for file in sorted(Path(folder).rglob("*.rs")))
    return "".join(file.read_text() for file in files)


@cache
def admin_port():
    """The default port of ADMIN_LISTEN."""
    default = r'env = "ADMIN_LISTEN", default_value = "[\d.]+:(\d+)"'
    return int(re.search(default, ADMIN_SETTINGS.read_text()).group(1))


def parts():
    return {"gateway", *(folder.name for folder in Path("services").iterdir())}


BLOCK = re.compile(r"\{([^}]*)\}")
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
OPERATORS = {"and", "or", "unless", "offset", "bool"}


def metrics_in(expr):
    """The names of metrics that an expression uses."""
    rest = re.sub(r'"[^"]*"', "", expr)
    for ignored in (BLOCK, GROUPING, re.compile(r"\[[^]]*\]")):
        rest = ignored.sub(" ", rest)
    return set(re.findall(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()", rest)) - OPERATORS


def labels_in(expr):
    """The labels that an expression selects or groups by."""
    rest = re.sub(r'"[^"]*"', "", expr)
    blocks = " ".join(BLOCK.findall(rest))
    selected = re.findall(r"(\w+)\s*(?:=|!)", blocks)
    grouped = [name for group in GROUPING.findall(rest) for name in re.findall(r"\w+", group)]
    return {*selected, *grouped}


def jobs_in(expr):
    """The jobs that an expression selects."""
    return {job for jobs in re.findall(r'\bjob=~?"([^"]*)"', expr) for job in jobs.split("|")}
