"""The settings of the programs, read from the generated page docs/configuration.md."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PAGE = Path("docs/configuration.md")
ADMIN_PORT = Path("crates/runtime/src/admin.rs")
ROW = re.compile(r"^\| `(\w+)`<br>`--[\w-]+`(?:<br>only ([^|]*?))? \| (.*?) \|", re.MULTILINE)
REQUIRED = "must be set"
# The commands that also read the settings of the database and of the log.
WITH_DATABASE = re.compile(r"^(DATABASE_|LOG_)")


@dataclass(frozen=True)
class Setting:
    is_required: bool
    # The default, or "" if the page shows none.
    default: str


@cache
def sections():
    parts = re.split(r"^## (.*)\n", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return {name: ROW.findall(body) for name, body in zip(parts[::2], parts[1::2])}


@cache
def settings(program, command):
    """The settings of a program's command by variable; None if there is no such command."""
    if command not in ("serve", "migrate"):
        return None
    names = ["Every program", *(["Every service"] if program != "gateway" else []), program]
    rows = [row for name in names for row in sections()[name]]
    return {
        variable: Setting(default == REQUIRED, default.strip("`"))
        for variable, only, default in rows
        if (not only if command == "serve" else WITH_DATABASE.match(variable))
    }


@cache
def gauges(program):
    """The gauges of a program by their Prometheus names, except those that end with a unit."""
    folder = Path("gateway") if program == "gateway" else Path("services") / program
    code = "".join(file.read_text() for file in (folder / "src").rglob("*.rs"))
    declared = re.findall(r'gauge\(\s*"([\w.]+)"([^;]*)', code)
    return {name.replace(".", "_") for name, rest in declared if "with_unit" not in rest}


@cache
def admin_routes():
    return set(re.findall(r'\.route\("(.*?)"', ADMIN_PORT.read_text()))
