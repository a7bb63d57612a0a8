"""Faults under load: each container is restarted, killed and paused in turn, and must recover."""

import time

from engine import VERSION, containers, docker, inspect, wait_until, wait_until_healthy

# Callees before callers, as an operator would.
PROGRAMS = ["auth", "contacts", "rooms", "messaging", "gateway"]
EVERYTHING = ["postgres", "redis", *PROGRAMS, "loadbalancer"]
PAUSE_SECONDS = 4


def each_in_turn(services, what, inject, load):
    for container in (container for service in services for container in containers(service)):
        inject(container)
        begin = time.monotonic()
        flowing = load.flows()
        wait_until_healthy(container)
        well = time.monotonic() - begin
        print(
            f"       {container} {what}: messages in {flowing:.1f} s, healthy in {well:.1f} s",
            flush=True,
        )


def restart(container):
    # The engine applies the stop timeout of the container.
    docker("restart", container, deadline=90)


def crash(container):
    """Kills the process as the kernel does when memory runs out. The engine must restart it."""
    before = inspect(container)[0]
    killer = f"parlance/loadbalancer:{VERSION}"
    kill = ["--entrypoint", "bash", killer, "-c", f"kill -KILL {before['State']['Pid']}"]
    docker("run", "--rm", "--user", "0", "--pid", "host", "--network", "none", *kill)

    def has_started():
        now = inspect(container)[0]
        return now["RestartCount"] > before["RestartCount"] and now["State"]["Running"]

    wait_until(f"{container} is started again", 60, has_started)


def pause(container):
    docker("pause", container)
    time.sleep(PAUSE_SECONDS)
    docker("unpause", container)


def restart_all(load):
    each_in_turn(PROGRAMS, "restarted", restart, load)


def kill_all(load):
    each_in_turn(EVERYTHING, "killed", crash, load)


def pause_all(load):
    each_in_turn(EVERYTHING, f"paused for {PAUSE_SECONDS} s", pause, load)
