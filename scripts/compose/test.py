"""Builds, starts, uses, scales, faults, restarts and removes docker-compose.yml."""

import json
import re
import signal
import sys
import time
import urllib.request
from pathlib import Path

import faults
import guards
from engine import (
    PORT,
    PROJECT,
    Failed,
    address,
    check,
    compose,
    containers,
    docker,
    keep_logs,
    remove,
    run,
    wait_until,
)
from load import CHAOS, Load

BUILD_DEADLINE = 40 * 60
START_DEADLINE = 240
SCALE = {"messaging": 3, "gateway": 2}
BEGIN = time.monotonic()


def step(text):
    print(f"{time.monotonic() - BEGIN:5.0f} s  {text}", flush=True)


def up(*more, deadline=START_DEADLINE):
    compose(
        "up", "--detach", "--wait", "--wait-timeout", str(START_DEADLINE), *more, deadline=deadline
    )


def converse():
    """Runs the conversation of the README in a shell."""
    readme = Path("README.md").read_text()
    section = readme.split("\n## Talk to it\n")[1].split("\n## ")[0]
    commands = re.search(r"```sh\n(.*?)```", section, re.DOTALL).group(1)
    usual = "http://localhost:8000"
    check(usual in commands, f"the conversation in the README is not at {usual}")
    said = run(["bash", "-c", commands.replace(usual, f"http://127.0.0.1:{PORT}")])
    history = json.loads(said.strip().splitlines()[-1])
    check([message["content"] for message in history["messages"]] == ["Hello Bob!"], said)


def metric(container, name):
    """The sum of a metric over its labels, as Prometheus finds it."""
    with urllib.request.urlopen(
        f"http://{address(container, 'parts')}:9090/metrics", timeout=10
    ) as answer:
        lines = answer.read().decode().splitlines()
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}(\{{.*)? ", line)
    )


def every_replica_has_work():
    gateways = containers("gateway")
    check(
        len(gateways) == SCALE["gateway"] and len(containers("messaging")) == SCALE["messaging"],
        "not scaled",
    )
    for gateway in gateways:
        what = f"{gateway} is attached to every replica of messaging"
        wait_until(
            what, 30, lambda: metric(gateway, "parlance_gateway_streams") == SCALE["messaging"]
        )

    def is_shared():
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/docs", timeout=10) as answer:
            answer.read()
        return all(
            metric(gateway, "http_server_request_duration_seconds_count") > 0
            for gateway in gateways
        )

    wait_until("the load balancer sends requests to every gateway", 30, is_shared)


def nothing_is_left():
    label = f"label=com.docker.compose.project={PROJECT}"
    for kind, command in {
        "containers": ["ps", "--all", "--quiet"],
        "volumes": ["volume", "ls", "--quiet"],
        "networks": ["network", "ls", "--quiet"],
    }.items():
        left = docker(*command, "--filter", label).split()
        check(not left, f"{kind} are left: {left}")


def volumes():
    return set(docker("volume", "ls", "--quiet").split())


def inject_faults_under_load():
    load = Load()
    try:
        load.flows()
        step("restarting every replica of every part in turn, under load")
        faults.restart_all(load)
        step("killing each container in turn")
        faults.kill_all(load)
        step("pausing each container in turn")
        faults.pause_all(load)
        step("checking the recorded history")
        print(load.finish(), flush=True)
    finally:
        load.kill()


def test():
    step("building the images")
    compose("build", deadline=BUILD_DEADLINE)
    before = volumes()
    step("starting from nothing")
    compose("--profile", "observability", "config", "--quiet")
    up("--build", deadline=BUILD_DEADLINE)
    step("the conversation of the README")
    converse()
    for guard in guards.GUARDS:
        step(guard.__name__.replace("_", " "))
        guard()
    step("scaling out")
    up(*(word for service, count in SCALE.items() for word in ("--scale", f"{service}={count}")))
    every_replica_has_work()
    inject_faults_under_load()
    step("stopping and starting again, with the same data")
    compose("down", deadline=120)
    up()
    psql = [
        "psql",
        "-U",
        "postgres",
        "-d",
        "parlance",
        "-Atc",
        "SELECT count(*) FROM messaging.messages",
    ]
    check(int(compose("exec", "-T", "postgres", *psql)) > 0, "the messages are lost")
    converse()
    step("removing everything")
    remove()
    nothing_is_left()
    check(volumes() <= before, f"volumes are left: {volumes() - before}")
    step("docker-compose.yml passes")


def main():
    # Everything is removed on SIGTERM too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    check(Path(CHAOS).is_file(), f"{CHAOS} is missing: `make test-compose` builds it")
    try:
        remove()
        test()
    except Failed as failure:
        step(f"FAILED: {failure}")
        keep_logs()
        print(f"The logs are in {Path('target/compose').resolve()}", file=sys.stderr)
        return 1
    finally:
        remove()
    return 0


sys.exit(main())
