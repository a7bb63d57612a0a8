"""Rules for the manifests of one overlay. Each yields one sentence per violation."""

from pathlib import Path

import network
import settings
from manifests import KINDS

DOCS = Path("docs/kubernetes.md")
LOOPBACK = "127.0.0.1"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def violations(manifests):
    return [text for rule in RULES for text in rule(manifests)]


def selectors_select_one_workload(manifests):
    """Services, disruption budgets and the workloads themselves."""
    for item in manifests.objects:
        name, spec = described(item), item.get("spec", {})
        if item["kind"] == "Service":
            selector = {"matchLabels": spec["selector"]}
        elif item["kind"] in ("Deployment", "StatefulSet", "PodDisruptionBudget"):
            selector = spec["selector"]
        else:
            continue
        pods = manifests.selected(selector)
        if len(pods) != 1:
            yield f"{name} selects the pods of {len(pods)} workloads"
        elif item["kind"] in ("Deployment", "StatefulSet") and pods[0].workload is not item:
            yield f"{name} selects pods that are not its own"


def services_lead_to_ports(manifests):
    for service in manifests.all("Service"):
        for target in (port["targetPort"] for port in service["spec"]["ports"]):
            for pod in manifests.selected({"matchLabels": service["spec"]["selector"]}):
                if pod.port(target) is None:
                    yield f"{described(service)} targets port {target}, which {pod.name} lacks"


def ingresses_lead_to_services(manifests):
    for ingress in manifests.all("Ingress"):
        name, rules = described(ingress), ingress["spec"]["rules"]
        for path in (path for rule in rules for path in rule["http"]["paths"]):
            backend = path["backend"]["service"]
            service = manifests.find("Service", backend["name"])
            wanted = next(iter(backend["port"].values()))
            ports = service["spec"]["ports"] if service else []
            if not any(wanted in (port["name"], port["port"]) for port in ports):
                yield f"{name} leads to {backend['name']}:{wanted}, which no Service has"
        for tls in ingress["spec"].get("tls", []):
            yield from secret_exists(manifests, name, tls["secretName"])
            if {rule["host"] for rule in rules} != set(tls["hosts"]):
                yield f"{name} has certificates for other hosts than it serves"


def references_of_pods_exist(manifests):
    """ConfigMaps, Secrets with their keys, ServiceAccounts, volumes. All of them are used."""
    used = set()
    for pod in manifests.pods:
        name = described(pod.workload)
        for kind, item, key in references(pod):
            used.add((kind, item))
            found = manifests.find(kind, item)
            if kind == "Secret" and found is None:
                yield from secret_exists(manifests, name, item, key)
            elif found is None or (key and key not in found["data"]):
                yield f"{name} refers to {kind} {item} {key or ''}, which does not exist"
        claims = pod.workload["spec"].get("volumeClaimTemplates", [])
        volumes = {volume["name"] for volume in pod.spec.get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in claims}
        mounts = {mount["name"] for one in pod.containers for mount in one.get("volumeMounts", [])}
        if volumes != mounts:
            yield f"{name} has the volumes {sorted(volumes)} and mounts {sorted(mounts)}"
    for kind in ("ConfigMap", "Secret", "ServiceAccount"):
        for item in manifests.all(kind):
            if (kind, item["metadata"]["name"]) not in used:
                yield f"{described(item)} is not used"


def references(pod):
    yield "ServiceAccount", pod.spec.get("serviceAccountName", "default"), None
    for container in pod.containers:
        for origin in container.get("envFrom", []):
            for word, reference in origin.items():
                yield KINDS[word], reference["name"], None
        for variable in container.get("env", []):
            for word, reference in variable.get("valueFrom", {}).items():
                yield KINDS[word], reference["name"], reference["key"]
    for volume in pod.spec.get("volumes", []):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"], None
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"], None


def secret_exists(manifests, name, secret, key=None):
    """A Secret that the manifests do not create must be described, with its keys, in the docs."""
    words = (secret, key or secret)
    is_described = all(f"`{word}`" in DOCS.read_text() for word in words)
    if manifests.find("Secret", secret) is None and not is_described:
        yield f"{name} refers to Secret {secret} {key or ''}, which {DOCS} does not describe"


def variables_are_settings(manifests):
    for pod, container, program in programs(manifests):
        name, command = f"{described(pod.workload)}, {program}", container["args"][0]
        if ":" not in container["image"].rpartition("/")[2]:
            yield f"{name}: the image has no tag"
        known = settings.settings(program, command)
        if known is None:
            yield f"{name}: there is no command {command}"
            continue
        environment = manifests.environment(container)
        for variable in environment.keys() - known.keys():
            yield f"{name}: `{program} {command}` does not read {variable}"
        for variable in known.keys() - environment.keys():
            if known[variable].is_required or LOOPBACK in known[variable].default:
                yield f"{name}: {variable} is not set"


def programs_listen_on_their_ports(manifests):
    """On the default ports of the programs, so that each port has one number."""
    for pod, container, program in programs(manifests):
        name = described(pod.workload)
        known = settings.settings(program, container["args"][0]) or {}
        environment = manifests.environment(container).items()
        listening = {key: value for key, value in environment if key.endswith("LISTEN") and value}
        ports = {port["containerPort"] for port in container.get("ports", [])}
        if {port_of(value) for value in listening.values()} != ports:
            yield f"{name} listens on {sorted(listening.values())}, but declares {sorted(ports)}"
        for variable, value in listening.items():
            default = known[variable].default if variable in known else ""
            if value.startswith(LOOPBACK) or port_of(default) != port_of(value):
                yield f"{name}: {variable} is {value}, but its default is {default}"


def addresses_are_headless_services(manifests):
    for pod, container, _ in programs(manifests):
        for variable, value in manifests.environment(container).items():
            for address in value.split(",") if variable.endswith("_ADDRESSES") else []:
                host, port = address.rsplit(":", 1)
                spec = (manifests.find("Service", host) or {"spec": {"ports": []}})["spec"]
                is_headless = spec.get("clusterIP") == "None"
                if not is_headless or int(port) not in [port["port"] for port in spec["ports"]]:
                    name = described(pod.workload)
                    yield f"{name}: {variable} names {address}, which is no headless Service"


def probes_and_scraping_reach_the_admin_port(manifests):
    for pod, container, _ in programs(manifests):
        if container["args"][0] != "serve":
            continue
        admin = port_of(manifests.environment(container).get("ADMIN_LISTEN") or "")
        scraping = pod.metadata.get("annotations", {})
        paths = [
            ("scraping", scraping.get("prometheus.io/port"), scraping.get("prometheus.io/path"))
        ]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            request = container.get(probe, {}).get("httpGet", {})
            paths.append((probe, request.get("port"), request.get("path")))
        for probe, port, path in paths:
            number = int(port) if str(port).isdigit() else pod.port(port)
            if number != admin or path not in settings.admin_routes():
                name = described(pod.workload)
                yield f"{name}: {probe} requests {path} on port {port}, which is not served"


def grace_time_fits_the_drain(manifests):
    for pod, container, _ in programs(manifests):
        if container["args"][0] != "serve":
            continue
        before = (
            container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        )
        drain = float(manifests.environment(container).get("DRAIN_TIMEOUT") or "inf")
        grace = pod.spec.get("terminationGracePeriodSeconds", 30)
        if before == 0 or before + drain + 5 > grace:
            name = described(pod.workload)
            yield f"{name}: {before} s of preStop and {drain:g} s of drain exceed {grace} s"


def scaling_has_targets_and_metrics(manifests):
    for scaler in manifests.all("HorizontalPodAutoscaler"):
        name, target = described(scaler), scaler["spec"]["scaleTargetRef"]
        workload = manifests.find(target["kind"], target["name"])
        if workload is None or "replicas" in workload["spec"]:
            yield f"{name}: {target['name']} does not exist or has a fixed number of replicas"
            continue
        containers = workload["spec"]["template"]["spec"]["containers"]
        for metric in scaler["spec"]["metrics"]:
            gauge = metric.get("pods", {}).get("metric", {}).get("name")
            if gauge and gauge not in settings.gauges(target["name"]):
                yield f"{name} uses {gauge}, which is no gauge of {target['name']}"
            resource = metric.get("resource", {}).get("name")
            requests = [container["resources"]["requests"] for container in containers]
            if resource and not all(resource in request for request in requests):
                yield f"{name} scales by {resource}, which is not requested"


def pods_are_restricted(manifests):
    """The level `restricted` of the pod security standards, and resource limits."""
    namespace = manifests.all("Namespace")[0]
    labels = namespace["metadata"].get("labels", {})
    if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
        yield f"{described(namespace)} does not enforce the level restricted"
    for item in manifests.objects:
        in_namespace = item["metadata"].get("namespace") == namespace["metadata"]["name"]
        if item is not namespace and not in_namespace:
            yield f"{described(item)} is not in the namespace"
    for account in manifests.all("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"{described(account)} mounts its token"
    for pod in manifests.pods:
        context, limited = pod.spec.get("securityContext", {}), {"requests", "limits"}
        is_restricted = (
            context.get("runAsNonRoot") is True
            and context.get("runAsUser", 0) > 0
            and context.get("seccompProfile") == {"type": "RuntimeDefault"}
            and pod.spec.get("automountServiceAccountToken") is False
            and not any(key in pod.spec for key in ("hostNetwork", "hostPID", "hostIPC"))
            and all(one.get("securityContext") == RESTRICTED for one in pod.containers)
            and all("hostPath" not in volume for volume in pod.spec.get("volumes", []))
            and all(limited <= one.get("resources", {}).keys() for one in pod.containers)
        )
        if not is_restricted:
            yield f"{described(pod.workload)} is not restricted"
        for constraint in pod.spec.get("topologySpreadConstraints", []):
            if pod not in manifests.selected(constraint["labelSelector"]):
                yield f"{described(pod.workload)} is spread relative to other pods"


def programs(manifests):
    """The containers that run programs of Parlance: pod, container, name of the program."""
    for pod in manifests.pods:
        for container in pod.containers:
            folder, _, image = container["image"].rpartition("/")
            if folder.endswith("parlance"):
                yield pod, container, image.split(":")[0]


def described(item):
    return f"{item['kind']} {item['metadata']['name']}"


def port_of(address):
    return int(address.rsplit(":", 1)[1]) if ":" in address else None


RULES = [
    selectors_select_one_workload,
    services_lead_to_ports,
    ingresses_lead_to_services,
    references_of_pods_exist,
    variables_are_settings,
    programs_listen_on_their_ports,
    addresses_are_headless_services,
    probes_and_scraping_reach_the_admin_port,
    grace_time_fits_the_drain,
    scaling_has_targets_and_metrics,
    pods_are_restricted,
    network.policies_are_the_arrows,
]
