"""What is done to containers while people talk: each is restarted, killed and paused in turn, and has to come back."""

import time

from engine import VERSION, containers, docker, inspect, wait_until, wait_until_healthy

# In the order in which an operator would: whom others call first.
PROGRAMS = ["auth", "contacts", "rooms", "messaging", "gateway"]
EVERYTHING = ["postgres", "redis", *PROGRAMS, "loadbalancer"]
PAUSE = 4


def each_in_turn(services, what, hurt, load):
    for container in (container for service in services for container in containers(service)):
        hurt(container)
        begin = time.monotonic()
        flowing = load.flows()
        wait_until_healthy(container)
        well = time.monotonic() - begin
        print(f"       {container} {what}: messages flow after {flowing:.1f} s, healthy after {well:.1f} s", flush=True)


def restart(container):
    # The engine knows how long the container may take.
    docker("restart", container, deadline=90)


def crash(container):
    """As the kernel kills who takes too much memory: the engine is not asked, and has to start it again."""
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
    time.sleep(PAUSE)
    docker("unpause", container)


def restart_all(load):
    each_in_turn(PROGRAMS, "restarted", restart, load)


def kill_all(load):
    each_in_turn(EVERYTHING, "killed", crash, load)


def pause_all(load):
    each_in_turn(EVERYTHING, f"paused for {PAUSE} s", pause, load)
