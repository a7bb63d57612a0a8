"""Mistakes that the rules must find: each is made in a copy of good manifests."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

from manifests import Manifests

NAME = "app.kubernetes.io/name"


@dataclass
class Mutation:
    """A mistake, what makes it, and words from what must be said of it. `make` fails with KeyError where it cannot be made."""

    name: str
    fault: str
    make: Callable


def mutate(manifests, mutation):
    """A copy with the mistake, or None where there is nothing to make it in."""
    copied = Manifests(copy.deepcopy(manifests.objects))
    try:
        mutation.make(Objects(copied))
    except KeyError:
        return None
    return copied


class Objects:
    """Short ways to what mutations change."""

    def __init__(self, manifests):
        self.manifests = manifests

    def spec(self, kind, name):
        found = self.manifests.find(kind, name)
        if found is None:
            raise KeyError(name)
        return found["spec"]

    def pod(self, name, kind="Deployment"):
        return self.spec(kind, name)["template"]["spec"]

    def container(self, name, kind="Deployment"):
        return self.pod(name, kind)["containers"][0]

    def settings(self, name):
        return self.config_map(self.container(name)["envFrom"][0]["configMapRef"]["name"])["data"]

    def config_map(self, name):
        return self.manifests.find("ConfigMap", name)

    def variable(self, name, variable):
        return next(one for one in self.container(name)["env"] if one["name"] == variable)


def put(container, key, value):
    """An assignment, as lambdas cannot have one. The key must be there."""
    container[key]
    container[key] = value


MUTATIONS = [
    Mutation(
        "a Service leads to a port that nobody has",
        "leads to the port",
        lambda o: put(o.spec("Service", "rooms")["ports"][0], "targetPort", "http"),
    ),
    Mutation(
        "a Service selects nothing",
        "selects the pods of 0 workloads",
        lambda o: put(o.spec("Service", "auth")["selector"], NAME, "authentication"),
    ),
    Mutation(
        "a disruption budget selects nothing",
        "selects the pods of 0 workloads",
        lambda o: put(o.spec("PodDisruptionBudget", "auth")["selector"]["matchLabels"], NAME, "a"),
    ),
    Mutation(
        "the Ingress leads to a port that the Service does not have",
        "which is no Service's",
        lambda o: put(
            o.spec("Ingress", "gateway")["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"],
            "name",
            "https",
        ),
    ),
    Mutation(
        "a container listens on another port than its manifest says",
        "not the ports of its container",
        lambda o: put(o.container("gateway")["ports"][1], "containerPort", 8080),
    ),
    Mutation(
        "a service listens on its own loopback only",
        "must be given",
        lambda o: o.settings("rooms").pop("GRPC_LISTEN"),
    ),
    Mutation(
        "a ConfigMap lacks a key that the program cannot do without",
        "MESSAGING_ADDRESSES must be given",
        lambda o: o.settings("gateway").pop("MESSAGING_ADDRESSES"),
    ),
    Mutation(
        "an image that no overlay gives a tag",
        "has no tag",
        lambda o: put(o.container("rooms"), "image", "parlance/rooms"),
    ),
    Mutation(
        "a variable that no program reads",
        "does not read MAX_SOCKETS",
        lambda o: o.settings("gateway").update(MAX_SOCKETS="5"),
    ),
    Mutation(
        "a setting of another program",
        "does not read BCRYPT_COST",
        lambda o: o.settings("contacts").update(BCRYPT_COST="12"),
    ),
    Mutation(
        "a key that the Secret does not have",
        "ROOMS_DATABASE",
        lambda o: put(o.variable("rooms", "DATABASE_URL")["valueFrom"]["secretKeyRef"], "key", "ROOMS_DATABASE"),
    ),
    Mutation(
        "a Secret that nobody makes or describes",
        "which is neither made nor described",
        lambda o: put(o.variable("auth", "INTERNAL_TOKEN")["valueFrom"]["secretKeyRef"], "name", "internal"),
    ),
    Mutation(
        "certificates that are mounted nowhere",
        "and mounts",
        lambda o: o.container("rooms")["volumeMounts"].pop(),
    ),
    Mutation(
        "a ConfigMap that is not there",
        "which is not there",
        lambda o: put(o.container("auth")["envFrom"][0]["configMapRef"], "name", "authentication"),
    ),
    Mutation(
        "an address that is no Service",
        "names room:9000",
        lambda o: put(o.settings("messaging"), "ROOMS_ADDRESSES", "room:9000"),
    ),
    Mutation(
        "calls are pinned to one pod",
        "is not headless",
        lambda o: o.spec("Service", "messaging").pop("clusterIP"),
    ),
    Mutation(
        "a probe asks for what is not served",
        "which the program does not serve there",
        lambda o: put(o.container("auth")["readinessProbe"]["httpGet"], "path", "/healthz"),
    ),
    Mutation(
        "a command that the program does not have",
        "there is no command",
        lambda o: put(o.container("migrate", "Job"), "args", ["upgrade"]),
    ),
    Mutation(
        "draining takes longer than the pod may",
        "do not fit into",
        lambda o: put(o.settings("gateway"), "DRAIN_TIMEOUT", "60"),
    ),
    Mutation(
        "scaling by a metric that does not exist",
        "which is no gauge of gateway",
        lambda o: put(
            o.spec("HorizontalPodAutoscaler", "gateway")["metrics"][0]["pods"]["metric"],
            "name",
            "parlance_gateway_connections",
        ),
    ),
    Mutation(
        "scaling of what is not there",
        "which is not there",
        lambda o: put(o.spec("HorizontalPodAutoscaler", "messaging")["scaleTargetRef"], "name", "messages"),
    ),
    Mutation(
        "a NetworkPolicy for no pod",
        "is for no pod",
        lambda o: put(o.spec("NetworkPolicy", "auth")["podSelector"]["matchLabels"], NAME, "authentication"),
    ),
    Mutation(
        "a NetworkPolicy whose peer is no pod",
        "has a peer that is no pod",
        lambda o: put(o.spec("NetworkPolicy", "messaging")["egress"][0]["to"][0]["podSelector"]["matchLabels"], NAME, "room"),
    ),
    Mutation(
        "a NetworkPolicy with a wrong port",
        "which is no container's",
        lambda o: put(o.spec("NetworkPolicy", "rooms")["ingress"][0]["ports"][0], "port", 9001),
    ),
    Mutation(
        "an arrow that the architecture does not have",
        "Egress from contacts to messaging:9000 is allowed",
        lambda o: put(o.spec("NetworkPolicy", "contacts")["egress"][0]["to"][0]["podSelector"]["matchLabels"], NAME, "messaging"),
    ),
    Mutation(
        "a part that may not reach the collector of traces",
        "Egress from messaging to elsewhere:4317 is an arrow, and not allowed",
        lambda o: o.spec("NetworkPolicy", "to-collector")["podSelector"]["matchExpressions"][0]["values"].remove("messaging"),
    ),
    Mutation(
        "a collector of traces at another port",
        "whose port is not 4317",
        lambda o: put(o.settings("auth"), "OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel-collector.monitoring:4318"),
    ),
    Mutation(
        "a part that tells no collector of traces",
        "and others do not",
        lambda o: o.settings("rooms").pop("OTEL_EXPORTER_OTLP_ENDPOINT"),
    ),
    Mutation(
        "nothing is denied by default",
        "denies everything by default",
        lambda o: put(o.spec("NetworkPolicy", "default-deny"), "policyTypes", ["Ingress"]),
    ),
    Mutation(
        "a container that may write to its root file system",
        "is not restricted",
        lambda o: put(o.container("messaging")["securityContext"], "readOnlyRootFilesystem", False),
    ),
    Mutation(
        "pods are spread beside those of others",
        "is spread beside pods that are not its own",
        lambda o: put(
            o.pod("rooms")["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
            "app.kubernetes.io/part-of",
            "chat",
        ),
    ),
    Mutation(
        "a mount without a volume",
        "and mounts",
        lambda o: o.pod("postgres", "StatefulSet")["volumes"].pop(),
    ),
]
