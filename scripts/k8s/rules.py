"""What must hold for the manifests of one overlay. Each rule yields what is wrong, in words."""

from pathlib import Path

import network
import source
from manifests import KINDS

DOCS = Path("docs/kubernetes.md")
LOOPBACK = "127.0.0.1"


def faults(manifests):
    return [fault for rule in RULES for fault in rule(manifests)]


def selectors_select_one_workload(manifests):
    """Of Services, disruption budgets and the workloads themselves."""
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
        for port in service["spec"]["ports"]:
            for pod in manifests.selected({"matchLabels": service["spec"]["selector"]}):
                if pod.port(port["targetPort"]) is None:
                    yield f"{described(service)} leads to the port {port['targetPort']}, which {pod.name} does not have"


def ingresses_lead_to_services(manifests):
    for ingress in manifests.all("Ingress"):
        for path in (path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]):
            backend = path["backend"]["service"]
            service = manifests.find("Service", backend["name"])
            wanted = next(iter(backend["port"].values()))
            if service is None or not any(wanted in (port["name"], port["port"]) for port in service["spec"]["ports"]):
                yield f"{described(ingress)} leads to {backend['name']}:{wanted}, which is no Service's"
        for tls in ingress["spec"].get("tls", []):
            yield from secret_is_there(manifests, described(ingress), tls["secretName"])
            hosts = {rule["host"] for rule in ingress["spec"]["rules"]}
            if hosts != set(tls["hosts"]):
                yield f"{described(ingress)} has certificates for other hosts than it serves"


def references_of_pods_exist(manifests):
    """ConfigMaps, Secrets and their keys, ServiceAccounts, volumes; and each ConfigMap and Secret is referred to."""
    used = set()
    for pod in manifests.pods:
        name = described(pod.workload)
        for kind, item, key in references(pod):
            used.add((kind, item))
            if kind == "Secret" and manifests.find(kind, item) is None:
                yield from secret_is_there(manifests, name, item, key)
            elif manifests.find(kind, item) is None:
                yield f"{name} refers to the {kind} {item}, which is not there"
            elif key and key not in manifests.find(kind, item)["data"]:
                yield f"{name} refers to the key {key}, which the {kind} {item} does not have"
        volumes = {volume["name"] for volume in pod.spec.get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in pod.workload["spec"].get("volumeClaimTemplates", [])}
        mounts = {mount["name"] for container in pod.containers for mount in container.get("volumeMounts", [])}
        if volumes != mounts:
            yield f"{name} has the volumes {sorted(volumes)} and mounts {sorted(mounts)}"
    for kind in ("ConfigMap", "Secret", "ServiceAccount"):
        for item in manifests.all(kind):
            if (kind, item["metadata"]["name"]) not in used:
                yield f"{described(item)} is not used by anything"


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


def secret_is_there(manifests, name, secret, key=None):
    """One that is made elsewhere must be described, with its keys, to whoever has to make it."""
    text = DOCS.read_text()
    if manifests.find("Secret", secret) is None and not all(f"`{word}`" in text for word in (secret, key or secret)):
        yield f"{name} refers to {key or 'something'} in the Secret {secret}, which is neither made nor described in {DOCS}"


def images_have_tags(manifests):
    for pod in manifests.pods:
        for container in pod.containers:
            if ":" not in container["image"].rpartition("/")[2]:
                yield f"{described(pod.workload)}: {container['image']} has no tag"


def variables_are_settings(manifests):
    for pod, container, program in programs(manifests):
        name = f"{described(pod.workload)}, {program}"
        command = container["args"][0]
        settings = source.settings(program, command)
        if settings is None:
            yield f"{name}: there is no command {command}"
            continue
        environment = manifests.environment(container)
        for variable in environment.keys() - settings.keys():
            yield f"{name}: `{program} {command}` does not read {variable}"
        for variable in settings.keys() - environment.keys():
            setting = settings[variable]
            if not setting.has_default or LOOPBACK in (setting.default or ""):
                yield f"{name}: {variable} must be given"


def programs_listen_on_their_ports(manifests):
    """On the ports that are also the defaults of the code, so that there is one number to know."""
    for pod, container, program in programs(manifests):
        name = described(pod.workload)
        settings = source.settings(program, container["args"][0]) or {}
        listening = {
            variable: value
            for variable, value in manifests.environment(container).items()
            if variable.endswith("LISTEN") and value
        }
        if {port_of(value) for value in listening.values()} != {port["containerPort"] for port in container.get("ports", [])}:
            yield f"{name} listens on {sorted(listening.values())}, which are not the ports of its container"
        for variable, value in listening.items():
            default = settings[variable].default if variable in settings else None
            if value.startswith(LOOPBACK) or default is None or port_of(default) != port_of(value):
                yield f"{name}: {variable} is {value}, and {default} in the code"


def addresses_are_headless_services(manifests):
    for pod, container, _ in programs(manifests):
        for variable, value in manifests.environment(container).items():
            if not variable.endswith("_ADDRESSES"):
                continue
            for address in value.split(","):
                host, port = address.rsplit(":", 1)
                service = manifests.find("Service", host)
                ports = service["spec"]["ports"] if service else []
                if int(port) not in [port["port"] for port in ports]:
                    yield f"{described(pod.workload)}: {variable} names {address}, which is no Service's"
                elif service["spec"].get("clusterIP") != "None":
                    yield f"{described(pod.workload)}: {variable} names {host}, which is not headless"


def probes_and_scraping_reach_the_admin_port(manifests):
    for pod, container, _ in programs(manifests):
        name = described(pod.workload)
        if container["args"][0] != "serve":
            continue
        admin = port_of(text_of(manifests.environment(container).get("ADMIN_LISTEN")))
        annotations = pod.metadata.get("annotations", {})
        asked = [("scraping", annotations.get("prometheus.io/port"), annotations.get("prometheus.io/path"))]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            request = container.get(probe, {}).get("httpGet", {})
            asked.append((probe, request.get("port"), request.get("path")))
        for who, port, path in asked:
            number = int(port) if str(port).isdigit() else pod.port(port)
            if number != admin or path not in source.admin_routes():
                yield f"{name}: {who} asks for {path} on the port {port}, which the program does not serve there"


def grace_time_fits_the_drain(manifests):
    for pod, container, _ in programs(manifests):
        if container["args"][0] != "serve":
            continue
        before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        drain = float(text_of(manifests.environment(container).get("DRAIN_TIMEOUT"), "inf"))
        grace = pod.spec.get("terminationGracePeriodSeconds", 30)
        if before == 0 or before + drain + 5 > grace:
            yield f"{described(pod.workload)}: {before} s of preStop and {drain:g} s of draining do not fit into {grace} s"


def scaling_has_targets_and_metrics(manifests):
    for scaler in manifests.all("HorizontalPodAutoscaler"):
        name, target = described(scaler), scaler["spec"]["scaleTargetRef"]
        workload = manifests.find(target["kind"], target["name"])
        if workload is None:
            yield f"{name} scales {target['name']}, which is not there"
            continue
        if "replicas" in workload["spec"]:
            yield f"{name} and the number of replicas of {target['name']} contradict each other"
        containers = workload["spec"]["template"]["spec"]["containers"]
        for metric in scaler["spec"]["metrics"]:
            if metric["type"] == "Pods" and metric["pods"]["metric"]["name"] not in source.gauges(target["name"]):
                yield f"{name} asks for {metric['pods']['metric']['name']}, which is no gauge of {target['name']}"
            elif metric["type"] == "Resource" and not all(
                metric["resource"]["name"] in container["resources"]["requests"] for container in containers
            ):
                yield f"{name} asks for a part of {metric['resource']['name']}, of which no amount is requested"


def pods_are_restricted(manifests):
    """As the level `restricted` of the pod security standards demands, and a little more."""
    namespace = manifests.all("Namespace")[0]
    if namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
        yield f"{described(namespace)} does not enforce the level restricted"
    for item in manifests.objects:
        if item is not namespace and item["metadata"].get("namespace") != namespace["metadata"]["name"]:
            yield f"{described(item)} is not in the namespace"
    for account in manifests.all("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"{described(account)} is mounted"
    for pod in manifests.pods:
        context = pod.spec.get("securityContext", {})
        is_restricted = (
            context.get("runAsNonRoot") is True
            and context.get("runAsUser", 0) > 0
            and context.get("seccompProfile") == {"type": "RuntimeDefault"}
            and pod.spec.get("automountServiceAccountToken") is False
            and not any(key in pod.spec for key in ("hostNetwork", "hostPID", "hostIPC"))
            and all(container.get("securityContext") == RESTRICTED for container in pod.containers)
            and all("hostPath" not in volume for volume in pod.spec.get("volumes", []))
            and all({"requests", "limits"} <= container.get("resources", {}).keys() for container in pod.containers)
        )
        if not is_restricted:
            yield f"{described(pod.workload)} is not restricted"


RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def pods_are_spread(manifests):
    for pod in manifests.pods:
        for constraint in pod.spec.get("topologySpreadConstraints", []):
            if pod not in manifests.selected(constraint["labelSelector"]):
                yield f"{described(pod.workload)} is spread beside pods that are not its own"


def programs(manifests):
    """The containers with programs of Parlance, each with its pod and the name of the program."""
    for pod in manifests.pods:
        for container in pod.containers:
            folder, _, image = container["image"].rpartition("/")
            if folder.endswith("parlance"):
                yield pod, container, image.split(":")[0]


def described(item):
    return f"{item['kind']} {item['metadata']['name']}"


def port_of(address):
    return int(address.rsplit(":", 1)[1]) if ":" in address else None


def text_of(value, default=""):
    return default if value is None else str(value)


RULES = [
    selectors_select_one_workload,
    services_lead_to_ports,
    ingresses_lead_to_services,
    references_of_pods_exist,
    images_have_tags,
    variables_are_settings,
    programs_listen_on_their_ports,
    addresses_are_headless_services,
    probes_and_scraping_reach_the_admin_port,
    grace_time_fits_the_drain,
    scaling_has_targets_and_metrics,
    pods_are_restricted,
    pods_are_spread,
    network.policies_are_the_arrows,
]
