"""Says what is wrong with a Kubernetes manifest, a line each: by the schemas, by the restricted
standard for pods, and where one part refers to another. Needs kubernetes-validate from PyPI."""

import sys

import kubernetes_validate
import yaml


def by_schema(document):
    try:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{'.'.join(str(part) for part in error.path)}: {error.message}"


def restricted(pod):
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, of 2026."""
    whole = pod.get("securityContext", {})
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    if any("hostPath" in volume for volume in pod.get("volumes", [])):
        yield "a volume is a folder of the host"
    safe = {"net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_port_range"}
    for sysctl in whole.get("sysctls", []):
        if sysctl["name"] not in safe:
            yield f"sysctl {sysctl['name']}"
    for container in pod["containers"] + pod.get("initContainers", []):
        own = {**whole, **container.get("securityContext", {})}
        if own.get("runAsNonRoot") is not True or own.get("runAsUser") == 0:
            yield "it may run as root"
        if own.get("allowPrivilegeEscalation") is not False:
            yield "it may gain privileges"
        if own.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield "no seccomp profile"
        capabilities = own.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []):
            yield "capabilities are kept"
        if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            yield "capabilities are added"
        # Not of the standard, and promised all the same.
        if own.get("readOnlyRootFilesystem") is not True:
            yield "its files can be written"


def selects(selector, labels):
    return bool(selector) and selector.items() <= labels.items()


def references(documents):
    of_kind = lambda kind: [document for document in documents if document["kind"] == kind]
    (deployment,) = of_kind("Deployment")
    template = deployment["spec"]["template"]
    labels, pod = template["metadata"]["labels"], template["spec"]
    ports = {port["name"]: port["containerPort"] for c in pod["containers"] for port in c["ports"]}
    namespaces = {document["metadata"]["name"] for document in of_kind("Namespace")}
    for document in documents:
        own = document["metadata"].get("namespace")
        if document["kind"] != "Namespace" and own not in namespaces:
            yield f"{document['kind']} is in no namespace of this file"
    for kind, path in (
        ("Deployment", ("selector", "matchLabels")),
        ("PodDisruptionBudget", ("selector", "matchLabels")),
        ("NetworkPolicy", ("podSelector", "matchLabels")),
        ("Service", ("selector",)),
    ):
        if not of_kind(kind):
            yield f"there is no {kind}"
        for document in of_kind(kind):
            selector = document["spec"]
            for part in path:
                selector = selector[part]
            if not selects(selector, labels):
                yield f"{kind} selects no pod"
    for service in of_kind("Service"):
        for port in service["spec"]["ports"]:
            if isinstance(port["targetPort"], str) and port["targetPort"] not in ports:
                yield f"Service: no port {port['targetPort']}"
        public = service["spec"].get("type", "ClusterIP") != "ClusterIP"
        if public and service["spec"].get("externalTrafficPolicy") != "Local":
            yield "a public Service hides the addresses of devices"
    secrets = {document["metadata"]["name"] for document in of_kind("Secret")}
    for volume in pod.get("volumes", []):
        if volume.get("secret", {}).get("secretName") not in secrets | {None}:
            yield f"no Secret {volume['secret']['secretName']}"
    for container in pod["containers"]:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if container[probe]["httpGet"]["port"] not in ports:
                yield f"{probe}: no such port"
            print(probe, container[probe]["httpGet"]["path"])


def main(path):
    with open(path) as file:
        documents = list(yaml.safe_load_all(file))
    wrong = [line for document in documents for line in by_schema(document)]
    for document in documents:
        if document["kind"] == "Deployment":
            wrong += restricted(document["spec"]["template"]["spec"])
    wrong += references(documents)
    for line in wrong:
        print("wrong:", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
