"""What keeps the parts apart: images, containers, roles of the database, users of Redis, the secret between the parts."""

import ipaddress
import sys
from pathlib import Path

from engine import (
    PROGRAMS,
    PROJECT,
    VERSION,
    address,
    check,
    compose,
    containers,
    docker,
    inspect,
    run,
)

# What the programs know, read from their source.
sys.path.append(str(Path(__file__).parent.parent / "k8s"))
import source  # noqa: E402

BASE = "gcr.io/distroless/cc-debian12:nonroot"
MOST_BYTES = 40_000_000
SERVICES = ["auth", "contacts", "rooms", "messaging"]
# Whom nobody needs to reach but the load balancer's clients.
PUBLISHED = {"loadbalancer"}


def images_are_small_and_bare():
    base = inspect(BASE, kind="image")[0]["Size"]
    for program in PROGRAMS:
        name = f"parlance/{program}:{VERSION}"
        image = inspect(name, kind="image")[0]
        config, added = image["Config"], image["Size"] - base
        check(0 < added < MOST_BYTES, f"{name} adds {added} bytes to its base")
        check(config["User"] == "65532:65532", f"{name} runs as {config['User']}")
        check(config["Entrypoint"] == [f"/usr/local/bin/{program}"], f"{name} starts {config['Entrypoint']}")
        check(config["Cmd"] == ["serve"], f"{name} has the arguments {config['Cmd']}")
        check(config["StopSignal"] == "SIGTERM", f"{name} is stopped by {config['StopSignal']}")
        check(config["Labels"]["org.opencontainers.image.version"] == VERSION, f"{name} has {config['Labels']}")
        for shell in ["sh", "bash", "/bin/sh"]:
            docker("run", "--rm", "--network", "none", "--entrypoint", shell, name, "-c", ":", fails=True)


def containers_may_do_little():
    for container in inspect(*containers()):
        name, host = container["Name"], container["HostConfig"]
        check(container["Config"]["User"].partition(":")[0] not in ("", "0", "root"), f"{name} runs as root")
        check(host["ReadonlyRootfs"], f"{name} can write into its image")
        check(host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"], f"{name} has capabilities")
        check("no-new-privileges:true" in host["SecurityOpt"], f"{name} can gain privileges")
        check(host["Memory"] > 0 and host["NanoCpus"] > 0, f"{name} has no limits")
        check(host["RestartPolicy"]["Name"] == "unless-stopped", f"{name} does not come back")
        check(host["LogConfig"]["Config"].get("max-size"), f"the log of {name} grows for ever")
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        ports = [port for ports in host["PortBindings"].values() for port in ports]
        check(bool(ports) == (service in PUBLISHED), f"{name} is published at {ports}")
        check(all(port["HostIp"] == "127.0.0.1" for port in ports), f"{name} is published at {ports}")
        for variable in container["Config"]["Env"]:
            key, _, value = variable.partition("=")
            is_secret = key.endswith(("TOKEN", "PASSWORD", "_URL"))
            check(not is_secret or value.startswith("file:"), f"{name} has a secret in its environment: {key}")


def variables_are_settings():
    """A program says nothing of a variable that it does not know."""
    for program in PROGRAMS:
        image = inspect(f"parlance/{program}:{VERSION}", kind="image")[0]
        container = inspect(containers(program)[0])[0]
        added = set(container["Config"]["Env"]) - set(image["Config"]["Env"])
        given = {variable.partition("=")[0] for variable in added}
        unknown = given - source.settings(program, "serve").keys()
        check(not unknown, f"{program} does not read {unknown}")


def gateways_believe_the_load_balancer():
    proxy = ipaddress.ip_address(address(containers("loadbalancer")[0], "front"))
    for gateway in inspect(*containers("gateway")):
        environment = dict(variable.split("=", 1) for variable in gateway["Config"]["Env"])
        trusted = [ipaddress.ip_network(network) for network in environment["TRUSTED_PROXIES"].split(",")]
        check(any(proxy in network for network in trusted), f"{proxy} is not in {trusted}")


def roles_see_their_own_schema_only():
    def sql(role, statement, **options):
        # Inside the container no password is asked for: this is about what a role may do.
        return compose("exec", "-T", "postgres", "psql", "-U", role, "-d", "parlance", "-Atc", statement, **options)

    owners = sql("postgres", "SELECT nspname, nspowner::regrole FROM pg_namespace WHERE nspname = ANY ('{auth,contacts,rooms,messaging}')")
    check(sorted(owners.split()) == sorted(f"{service}|{service}" for service in SERVICES), f"owners of schemas: {owners}")
    tables = {"auth": "users", "contacts": "pairs", "rooms": "rooms", "messaging": "messages"}
    for role in SERVICES:
        for schema, table in tables.items():
            statement = f"SELECT count(*) FROM {schema}.{table}"
            if role == schema:
                sql(role, statement)
            else:
                refusal = sql(role, statement, fails=True)
                check(f"permission denied for schema {schema}" in refusal, refusal)
        for forbidden in ["CREATE SCHEMA other", "CREATE TABLE public.other ()", "CREATE TEMPORARY TABLE other ()"]:
            refusal = sql(role, forbidden, fails=True)
            check("permission denied" in refusal, refusal)


def passwords_are_demanded():
    url = "postgres://contacts:wrong@postgres/parlance?connect_timeout=10"
    refusal = docker(
        "run", "--rm", "--network", f"{PROJECT}_store", "postgres:16", "psql", url, "-c", "SELECT 1", fails=True
    )
    check("password authentication failed" in refusal, refusal)


def redis_knows_messaging_only():
    # The password is read where it is used, and not shown.
    script = r"""
        password=$(sed -n 's/^user messaging on >\([^ ]*\) .*/\1/p' /run/secrets/redis.conf)
        export REDISCLI_AUTH=$password
        cli() { redis-cli --no-auth-warning --user messaging "$@" 2>&1; }
        cli PING; cli SPUBLISH room:1 x
        cli SPUBLISH other x; cli SET room:1 x; cli GET room:1; cli CONFIG GET maxmemory; cli ACL LIST
        env --unset=REDISCLI_AUTH redis-cli PING
    """
    said = compose("exec", "-T", "redis", "sh", "-c", script).splitlines()
    check(said[:2] == ["PONG", "0"], f"messaging cannot use Redis: {said}")
    refused = [line.split(" ")[0] for line in said[2:] if line]
    check(refused == ["NOPERM"] * 5 + ["NOAUTH"], f"Redis answers {said[2:]}")


def services_demand_the_credential():
    given = ["--volume", f"{PROJECT}_gateway-secrets:/given:ro", "--entrypoint", "cat", "postgres:16", "/given/internal-token"]
    token = docker("run", "--rm", "--network", "none", *given).strip()

    def status(service, method, credential):
        host = address(containers(service)[0], "parts")
        headers = ["content-type: application/grpc", "te: trailers"]
        headers += [f"authorization: Bearer {credential}"] if credential else []
        arguments = [word for header in headers for word in ("--header", header)]
        # Without a message, which only a caller with the credential is told.
        call = ["curl", "--silent", "--show-error", "--max-time", "10", "--include", "--http2-prior-knowledge"]
        answer = run([*call, "--request", "POST", *arguments, f"http://{host}:9000/{method}"])
        lines = [line for line in answer.lower().splitlines() if line.startswith("grpc-status:")]
        return int(lines[0].split(":")[1]) if lines else None

    unauthenticated, unimplemented = 16, 12
    methods = {
        "auth": "parlance.auth.v1.AuthService/GetUsers",
        "contacts": "parlance.contacts.v1.ContactsService/ListContacts",
        "rooms": "parlance.rooms.v1.RoomsService/ListRooms",
        "messaging": "parlance.messaging.v1.MessagingService/ReadHistory",
    }
    for service, method in methods.items():
        for wrong in [None, "not-the-internal-token", token[:-1]]:
            found = status(service, method, wrong)
            check(found == unauthenticated, f"{service} answered {found} to a caller without the credential")
        found = status(service, method, token)
        check(found not in (None, unauthenticated, unimplemented), f"{service} answered {found} to a caller with the credential")


GUARDS = [
    images_are_small_and_bare,
    containers_may_do_little,
    variables_are_settings,
    gateways_believe_the_load_balancer,
    roles_see_their_own_schema_only,
    passwords_are_demanded,
    redis_knows_messaging_only,
    services_demand_the_credential,
]
