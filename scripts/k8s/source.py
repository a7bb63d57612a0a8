"""What the programs know, read from their source: commands, settings, gauges, and the routes of the admin port."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SHARED_SETTINGS = Path("crates/runtime/src/config.rs")
ADMIN_PORT = Path("crates/runtime/src/admin.rs")

STRUCT = re.compile(r"^(?:pub )?struct (\w+) \{\n(.*?)^\}", re.DOTALL | re.MULTILINE)
SETTING = re.compile(r'#\[arg\(long, env = "(\w+)"(.*?)\)\]\s+(?:pub )?\w+: (\w+)', re.DOTALL)
DEFAULT = re.compile(r'default_value = "(.*?)"')
FLATTENED = re.compile(r"#\[command\(flatten\)\]\s+(?:pub )?\w+: (\w+)")


@dataclass(frozen=True)
class Setting:
    # True also where nothing is a value.
    has_default: bool
    # None also where the default is computed.
    default: str | None


def folder_of(program):
    return Path("gateway") if program == "gateway" else Path("services") / program


@cache
def structs_of(program):
    files = [SHARED_SETTINGS, *sorted((folder_of(program) / "src").rglob("*.rs"))]
    return {name: body for file in files for name, body in STRUCT.findall(file.read_text())}


@cache
def settings(program, command):
    """The settings of a program's command by the names of their variables; None where there is no such command."""
    main = (folder_of(program) / "src/main.rs").read_text()
    variant = rf"^    {command.capitalize()}(?:\((?:Box<)?(\w+)>?\)| \{{(.*?)^    \}})"
    found = re.search(variant, main, re.DOTALL | re.MULTILINE)
    if found is None:
        return None
    structs = structs_of(program)
    name, body = found.groups()
    return settings_in(body if name is None else structs[name], structs)


def settings_in(body, structs):
    found = {}
    for name, rest, kind in SETTING.findall(body):
        default = DEFAULT.search(rest)
        found[name] = Setting("default_value" in rest or kind == "Option", default and default.group(1))
    for name in FLATTENED.findall(body):
        found.update(settings_in(structs[name], structs))
    return found


@cache
def gauges(program):
    """The names of a program's gauges as Prometheus shows them; without those that end with a unit there."""
    source = "".join(file.read_text() for file in (folder_of(program) / "src").rglob("*.rs"))
    declared = re.findall(r'gauge\(\s*"([\w.]+)"([^;]*)', source)
    return {name.replace(".", "_") for name, rest in declared if "with_unit" not in rest}


@cache
def admin_routes():
    return set(re.findall(r'\.route\("(.*?)"', ADMIN_PORT.read_text()))
