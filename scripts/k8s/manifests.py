"""Rendered manifests and their selectors."""

from dataclasses import dataclass

import yaml

WORKLOADS = ("Deployment", "StatefulSet", "Job")
# The kinds that containers refer to, by the key of the reference.
KINDS = {
    "configMapRef": "ConfigMap",
    "configMapKeyRef": "ConfigMap",
    "secretRef": "Secret",
    "secretKeyRef": "Secret",
}


@dataclass
class Pod:
    """The pod template of a workload."""

    workload: dict

    @property
    def name(self):
        return self.workload["metadata"]["name"]

    @property
    def metadata(self):
        return self.workload["spec"]["template"]["metadata"]

    @property
    def spec(self):
        return self.workload["spec"]["template"]["spec"]

    @property
    def containers(self):
        return self.spec.get("initContainers", []) + self.spec["containers"]

    def port(self, wanted):
        """The number of a port given by name or number, or None if no container has it."""
        for container in self.containers:
            for port in container.get("ports", []):
                if wanted in (port.get("name"), port["containerPort"]):
                    return port["containerPort"]
        return None


class Manifests:
    """The objects of one overlay."""

    def __init__(self, objects):
        self.objects = objects
        self.pods = [Pod(workload) for kind in WORKLOADS for workload in self.all(kind)]

    @classmethod
    def read(cls, path):
        with open(path, encoding="utf-8") as file:
            return cls(list(yaml.safe_load_all(file)))

    def all(self, kind):
        return [item for item in self.objects if item["kind"] == kind]

    def find(self, kind, name):
        return next((item for item in self.all(kind) if item["metadata"]["name"] == name), None)

    def selected(self, selector):
        return [pod for pod in self.pods if selects(selector, pod.metadata["labels"])]

    def environment(self, container):
        """The variables of a container; the value is None if it comes from a Secret."""
        seen = {}
        for origin in container.get("envFrom", []):
            for word, reference in origin.items():
                data = (self.find(KINDS[word], reference["name"]) or {}).get("data", {})
                seen.update(data if KINDS[word] == "ConfigMap" else dict.fromkeys(data))
        for variable in container.get("env", []):
            seen[variable["name"]] = variable.get("value")
        return seen


def selects(selector, labels):
    """True if a label selector matches these labels."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions", []):
        if expression["operator"] != "In":
            raise ValueError(f"the operator {expression['operator']} is not supported")
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True
