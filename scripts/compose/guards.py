"""What keeps the parts apart in docker-compose.yml. The end-to-end tests check the privileges of
roles and of the Redis user, and the internal credential."""

import ipaddress
import sys
from pathlib import Path

from engine import PROGRAMS, PROJECT, VERSION, address, check, containers, docker, inspect

sys.path.append(str(Path(__file__).parent.parent / "k8s"))
import settings  # noqa: E402

BASE = "gcr.io/distroless/cc-debian12:nonroot"
MOST_BYTES = 40_000_000
# The services with a published port.
PUBLISHED = {"loadbalancer"}


def images_are_small_and_have_no_shell():
    base = inspect(BASE, kind="image")[0]["Size"]
    for program in PROGRAMS:
        name = f"parlance/{program}:{VERSION}"
        image = inspect(name, kind="image")[0]
        config, added = image["Config"], image["Size"] - base
        check(0 < added < MOST_BYTES, f"{name} adds {added} bytes to its base")
        check(config["User"] == "65532:65532", f"{name} runs as {config['User']}")
        entrypoint, labels = config["Entrypoint"], config["Labels"]
        check(entrypoint == [f"/usr/local/bin/{program}"], f"{name} starts {entrypoint}")
        check(config["Cmd"] == ["serve"], f"{name} has the arguments {config['Cmd']}")
        check(config["StopSignal"] == "SIGTERM", f"{name} is stopped by {config['StopSignal']}")
        check(labels["org.opencontainers.image.version"] == VERSION, f"{name} has {labels}")
        for shell in ["sh", "bash", "/bin/sh"]:
            docker(*f"run --rm --network none --entrypoint {shell} {name} -c :".split(), fails=True)


def containers_have_few_privileges():
    for container in inspect(*containers()):
        name, host = container["Name"], container["HostConfig"]
        user = container["Config"]["User"].partition(":")[0]
        check(user not in ("", "0", "root"), f"{name} runs as root")
        check(host["ReadonlyRootfs"], f"{name} can write into its image")
        is_bare = host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"]
        check(is_bare, f"{name} has capabilities")
        check("no-new-privileges:true" in host["SecurityOpt"], f"{name} can gain privileges")
        check(host["Memory"] > 0 and host["NanoCpus"] > 0, f"{name} has no limits")
        check(host["RestartPolicy"]["Name"] == "unless-stopped", f"{name} is not restarted")
        check(host["LogConfig"]["Config"].get("max-size"), f"the log of {name} grows for ever")
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        ports = [port for ports in host["PortBindings"].values() for port in ports]
        check(bool(ports) == (service in PUBLISHED), f"{name} is published at {ports}")
        check({port["HostIp"] for port in ports} <= {"127.0.0.1"}, f"{name} listens on {ports}")
        for variable in container["Config"]["Env"]:
            key, _, value = variable.partition("=")
            is_secret = key.endswith(("TOKEN", "PASSWORD", "_URL"))
            check(not is_secret or value.startswith("file:"), f"{name} has the secret {key}")


def variables_are_settings():
    """A program ignores a variable that it does not know."""
    for program in PROGRAMS:
        image = inspect(f"parlance/{program}:{VERSION}", kind="image")[0]
        container = inspect(containers(program)[0])[0]
        added = set(container["Config"]["Env"]) - set(image["Config"]["Env"])
        given = {variable.partition("=")[0] for variable in added}
        unknown = given - settings.settings(program, "serve").keys()
        check(not unknown, f"{program} does not read {unknown}")


def gateways_trust_the_load_balancer():
    proxy = ipaddress.ip_address(address(containers("loadbalancer")[0], "front"))
    for gateway in inspect(*containers("gateway")):
        environment = dict(variable.split("=", 1) for variable in gateway["Config"]["Env"])
        proxies = environment["TRUSTED_PROXIES"].split(",")
        trusted = [ipaddress.ip_network(network) for network in proxies]
        check(any(proxy in network for network in trusted), f"{proxy} is not in {trusted}")


def postgres_requires_passwords():
    url = "postgres://contacts:wrong@postgres/parlance?connect_timeout=10"
    run = f"run --rm --network {PROJECT}_store postgres:16 psql {url} -c".split()
    refusal = docker(*run, "SELECT 1", fails=True)
    check("password authentication failed" in refusal, refusal)


GUARDS = [
    images_are_small_and_have_no_shell,
    containers_have_few_privileges,
    variables_are_settings,
    gateways_trust_the_load_balancer,
    postgres_requires_passwords,
]
