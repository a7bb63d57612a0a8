"""Checks that the network policies allow exactly the arrows of docs/architecture.md."""

PARTS = ("gateway", "auth", "contacts", "rooms", "messaging")
WITH_SCHEMAS = ("auth", "contacts", "rooms", "messaging", "migrate")
GRPC, ADMIN, HTTP, POSTGRES, REDIS, DNS, OTLP = 9000, 9090, 8000, 5432, 6379, 53, 4317
COLLECTOR = "OTEL_EXPORTER_OTLP_ENDPOINT"

CALLS = {
    ("gateway", "auth"),
    ("gateway", "contacts"),
    ("gateway", "rooms"),
    ("gateway", "messaging"),
    ("contacts", "rooms"),
    ("messaging", "rooms"),
}
# Any peer outside the namespace.
OUTSIDE = "outside"


def expected(names, traced):
    """The allowed egress and ingress as (from, to, port), for the workloads of these names. The
    traced ones export to a collector."""
    inside = {(caller, callee, GRPC) for caller, callee in CALLS}
    outgoing = {(part, OUTSIDE, DNS) for part in (*PARTS, "migrate")} | {
        (part, OUTSIDE, OTLP) for part in traced
    }
    incoming = {(OUTSIDE, part, ADMIN) for part in PARTS}
    if "postgres" in names:
        inside |= {(part, "postgres", POSTGRES) for part in WITH_SCHEMAS} | {
            ("messaging", "redis", REDIS)
        }
    else:
        outgoing |= {(part, OUTSIDE, POSTGRES) for part in WITH_SCHEMAS} | {
            ("messaging", OUTSIDE, REDIS)
        }
        incoming |= {(OUTSIDE, "gateway", HTTP)}
    return inside | outgoing, inside | incoming


def policies_are_the_arrows(manifests):
    policies = manifests.all("NetworkPolicy")
    everything = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if not any(policy["spec"] == everything for policy in policies):
        yield "there is no NetworkPolicy that denies everything by default"

    allowed = {"Egress": set(), "Ingress": set()}
    for policy in policies:
        name, spec = policy["metadata"]["name"], policy["spec"]
        own = manifests.selected(spec["podSelector"])
        if not own:
            yield f"NetworkPolicy {name} selects no pod"
        for direction, peers_key in (("Egress", "to"), ("Ingress", "from")):
            rules = spec.get(direction.lower(), [])
            if rules and direction not in spec["policyTypes"]:
                yield f"NetworkPolicy {name} has rules for {direction} that have no effect"
            for rule in rules:
                peers, ports = rule.get(peers_key), rule.get("ports")
                if not peers or not ports:
                    yield f"NetworkPolicy {name} allows every peer or every port"
                    continue
                others = [other for peer in peers for other in others_of(manifests, peer)]
                if not others:
                    yield f"NetworkPolicy {name} has a peer that selects no pod"
                for port in (port["port"] for port in ports):
                    targets = others if direction == "Egress" else own
                    if any(target is not None and target.port(port) != port for target in targets):
                        yield f"NetworkPolicy {name} names port {port}, which no container has"
                    allowed[direction] |= {
                        arrow(direction, pod, other, port) for pod in own for other in others
                    }

    names = {pod.name for pod in manifests.pods}
    collectors = {pod.name: collectors_of(manifests, pod) for pod in manifests.pods}
    traced = {name for name, addresses in collectors.items() if addresses}
    if traced and traced != set(PARTS):
        yield f"{', '.join(sorted(traced))} export traces, and others do not"
    for name in sorted(traced):
        if not all(collector.endswith(f":{OTLP}") for collector in collectors[name]):
            yield f"{name} exports traces to a port other than {OTLP}"
    for direction, arrows in zip(("Egress", "Ingress"), expected(names, traced)):
        for source, target, port in allowed[direction] - arrows:
            yield f"{direction} from {source} to {target}:{port} is allowed, but is no arrow"
        for source, target, port in arrows - allowed[direction]:
            yield f"{direction} from {source} to {target}:{port} is an arrow, but is not allowed"


def collectors_of(manifests, pod):
    """The addresses of the collectors that a pod exports traces to."""
    return {manifests.environment(container).get(COLLECTOR) for container in pod.containers} - {
        None,
        "",
    }


def others_of(manifests, peer):
    """The pods that a peer of a rule selects; None is a peer outside the namespace."""
    if "namespaceSelector" in peer or "ipBlock" in peer:
        return [None]
    return manifests.selected(peer["podSelector"])


def arrow(direction, pod, other, port):
    other_name = OUTSIDE if other is None else other.name
    return (pod.name, other_name, port) if direction == "Egress" else (other_name, pod.name, port)
