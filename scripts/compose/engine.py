"""The project under test and its Docker engine. Every command has a deadline."""

import json
import os
import resource
import socket
import subprocess
import time
from pathlib import Path

PROJECT = "parlance-test"
VERSION = "test"
PROGRAMS = ["gateway", "auth", "contacts", "rooms", "messaging"]
LOGS = Path("target/compose")


class Failed(Exception):
    """A failed check."""


def check(is_so, text):
    if not is_so:
        raise Failed(text)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


PORT = free_port()
# A container cannot have more open files than the engine may give.
HARD_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
OPEN_FILES = 65_536 if HARD_LIMIT == resource.RLIM_INFINITY else min(65_536, HARD_LIMIT)
# The test ignores Compose settings of the environment and uses a project of its own.
ENVIRONMENT = {
    key: value for key, value in os.environ.items() if not key.startswith(("COMPOSE_", "PARLANCE_"))
} | {
    "PARLANCE_PORT": str(PORT),
    "PARLANCE_OPEN_FILES": str(OPEN_FILES),
    "PARLANCE_VERSION": VERSION,
    "PARLANCE_FRONT_SUBNET": "10.213.88.0/24",
    "BUILDKIT_PROGRESS": "plain",
}
COMPOSE = [
    "docker",
    "compose",
    "--ansi",
    "never",
    "--project-name",
    PROJECT,
    "--env-file",
    os.devnull,
]
COMPOSE += ["--file", "docker-compose.yml"]


def run(command, deadline=60, fails=False, **options):
    """The output of a command, which must succeed, or fail if `fails` is set."""
    options = {"stdin": subprocess.DEVNULL} | options
    try:
        done = subprocess.run(
            command,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=deadline,
            **options,
        )
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode(errors="replace")
        raise Failed(
            f"`{' '.join(command)}` took more than {deadline} s\n{output[-2000:]}"
        ) from late
    check(
        (done.returncode != 0) == fails,
        f"`{' '.join(command)}` ended with {done.returncode}\n{done.stdout[-4000:]}",
    )
    return done.stdout


def compose(*arguments, **options):
    return run([*COMPOSE, *arguments], **options)


def docker(*arguments, **options):
    return run(["docker", *arguments], **options)


def inspect(*names, kind="container"):
    return json.loads(docker(kind, "inspect", *names))


def containers(service=None):
    """The names of the running containers of one service or of all, sorted."""
    label = f"label=com.docker.compose.project={PROJECT}"
    more = ["--filter", f"label=com.docker.compose.service={service}"] if service else []
    return sorted(docker("ps", "--filter", label, *more, "--format", "{{.Names}}").split())


def address(container, network):
    return inspect(container)[0]["NetworkSettings"]["Networks"][f"{PROJECT}_{network}"]["IPAddress"]


def wait_until(what, deadline, is_so):
    """Polls until the answer is true, and returns it."""
    end = time.monotonic() + deadline
    while not (answer := is_so()):
        check(time.monotonic() < end, f"not within {deadline} s: {what}")
        time.sleep(0.2)
    return answer


def wait_until_healthy(container, deadline=90):
    def is_healthy():
        state = inspect(container)[0]["State"]
        return state["Running"] and state["Health"]["Status"] == "healthy"

    wait_until(f"{container} is healthy", deadline, is_healthy)


def remove():
    compose("down", "--volumes", "--remove-orphans", "--timeout", "5", deadline=180)


def keep_logs():
    """Before everything is removed."""
    LOGS.mkdir(parents=True, exist_ok=True)
    (LOGS / "containers.txt").write_text(compose("ps", "--all"))
    (LOGS / "logs.txt").write_text(compose("logs", "--no-color", "--timestamps", deadline=120))
