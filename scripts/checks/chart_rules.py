"""Rules for what the chart renders that no schema knows, and what it must share with code and image."""

import json
import re

import yaml

POD_KINDS = {"Deployment", "CronJob", "Job", "Pod"}
# Set by the chart or by the platform, never by a user's values.
OWNED = {
    "PORT", "HOST", "INDEX_DIR", "MODEL_DIR", "SEARCH_BACKEND", "SHUTDOWN_GRACE_SECONDS", "APP_VERSION", "BUILD_SHA", "IMAGE_TAG",
    "DD_AGENT_HOST", "DD_TRACE_AGENT_PORT", "AZURE_FEDERATED_TOKEN_FILE", "IDENTITY_ENDPOINT",
}  # fmt: skip
SECRET = re.compile(r"KEY$|TOKEN$|SECRET$|PASSWORD|HEADERS$")
LABEL = re.compile(r"^$|^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")


def of_release(objects):
    """Problems of one rendered release, in which everything that is named must exist."""
    found = []
    by_kind = {}
    for item in objects:
        by_kind.setdefault(item["kind"], []).append(item)
        found += [f"{title(item)}: {problem}" for problem in of_object(item)]
    pods = [(item, pod_of(item)) for item in objects if item["kind"] in POD_KINDS]
    for item, pod in pods:
        found += [f"{title(item)}: {problem}" for problem in [*of_pod(item, pod), *references(item, pod, by_kind)]]
    deployment = by_kind["Deployment"][0]
    found += [f"{title(deployment)}: {problem}" for problem in of_server(deployment)]
    found += of_selectors(by_kind, pods)
    found += of_network(by_kind)
    return found


def title(item):
    return f"{item['kind']} {item['metadata']['name']}"


def of_object(item):
    name, labels = item["metadata"]["name"], item["metadata"].get("labels", {})
    # A CronJob's name gets eleven characters of time behind it.
    limit = 52 if item["kind"] == "CronJob" else 63
    if len(name) > limit or not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name):
        yield f"the name is no DNS label of at most {limit} characters"
    for key in ("app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"):
        if key not in labels:
            yield f"the label {key} is missing"
    for value in labels.values():
        if not LABEL.match(str(value)):
            yield f"'{value}' is no value of a label"
    # Kubernetes' schemas describe types, not words.
    if item["kind"] == "CronJob" and item["spec"].get("concurrencyPolicy") != "Forbid":
        yield "must not start while the run before is at work (concurrencyPolicy: Forbid)"
    if item["kind"] in ("CronJob", "Job") and pod_of(item)[1].get("restartPolicy") != "Never":
        yield "a run that failed must end, so that its log stays (restartPolicy: Never)"
    if item["kind"] == "Secret":
        yield "a chart must not hold secrets; it refers to them"
    if item["kind"] == "ServiceAccount" and item.get("automountServiceAccountToken") is not False:
        yield "hands out the cluster's token"


def pod_of(item):
    """The pod's labels and its spec."""
    inner = {"CronJob": lambda i: i["spec"]["jobTemplate"]["spec"]["template"], "Pod": lambda i: i}
    template = inner.get(item["kind"], lambda i: i["spec"]["template"])(item)
    return template["metadata"].get("labels", {}), template["spec"]


def of_pod(item, pod):
    _, spec = pod
    security = spec.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "runAsNonRoot and seccomp RuntimeDefault are wanted"
    if any(security.get(key, 0) < 10000 for key in ("runAsUser", "runAsGroup", "fsGroup")):
        yield "user and groups must be 10000 or above"
    if spec.get("automountServiceAccountToken") is not False:
        yield "mounts the cluster's token, which it has no use for"
    if any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")) or any("hostPath" in v for v in spec.get("volumes", [])):
        yield "reaches into the node"
    for container in spec["containers"]:
        if container.get("securityContext") != {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }:
            yield "the container must have a read-only root, no capability and no way to more rights"
        if "memory" not in container["resources"].get("limits", {}) or {"cpu", "memory"} - set(container["resources"].get("requests", {})):
            yield "requests of CPU and memory and a limit of memory are wanted"
        if not re.search(r":[\w.-]+$|@sha256:[0-9a-f]{64}$", container["image"]) or container["image"].endswith(":latest"):
            yield f"the image {container['image']} is not pinned"
        for variable in container["env"]:
            if SECRET.search(variable["name"]) and "secretKeyRef" not in variable.get("valueFrom", {}):
                yield f"{variable['name']} is a secret, and stands in the open"
        names = [variable["name"] for variable in container["env"]]
        if doubled := {name for name in names if names.count(name) > 1}:
            yield f"{', '.join(sorted(doubled))} is set twice"
        mounts = [mount["name"] for mount in container.get("volumeMounts", [])]
        volumes = [volume["name"] for volume in spec.get("volumes", [])]
        if sorted(mounts) != sorted(volumes):
            yield f"mounts {sorted(mounts)} and volumes {sorted(volumes)} do not match"
        if item["kind"] != "Pod" and "/tmp" not in [mount["mountPath"] for mount in container.get("volumeMounts", [])]:
            yield "has nowhere to put temporary files"


def of_server(deployment):
    _, spec = pod_of(deployment)
    container = spec["containers"][0]
    env = {variable["name"]: variable.get("value") for variable in container["env"]}
    grace = int(env["SHUTDOWN_GRACE_SECONDS"])
    pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if spec["terminationGracePeriodSeconds"] < grace + pause + 1:
        yield f"is killed after {spec['terminationGracePeriodSeconds']} s, while it may need {grace + pause} s to stop"
    port = {p["name"]: p["containerPort"] for p in container["ports"]}
    if env.get("PORT") != str(port["http"]):
        yield f"listens on {env.get('PORT')} and declares {port['http']}"
    for probe, path in (("startupProbe", "/health"), ("livenessProbe", "/health"), ("readinessProbe", "/ready")):
        if container.get(probe, {}).get("httpGet") != {"path": path, "port": "http"}:
            yield f"{probe} must ask {path}"
    startup = container.get("startupProbe", {})
    if startup.get("periodSeconds", 0) * startup.get("failureThreshold", 0) < 60:
        yield "gives the model less than a minute to load"
    local = env["SEARCH_BACKEND"] == "local"
    if local and (deployment["spec"].get("replicas") != 1 or deployment["spec"]["strategy"]["type"] != "Recreate"):
        yield "a local index belongs to one pod at a time"
    if local and not any(env["INDEX_DIR"].startswith(m["mountPath"] + "/") for m in container["volumeMounts"]):
        yield f"INDEX_DIR {env['INDEX_DIR']} is on no volume"
    if not local and deployment["spec"]["strategy"].get("rollingUpdate", {}).get("maxUnavailable") != 0:
        yield "a rollout must not take pods away before new ones are ready"


def references(item, pod, by_kind):
    """Names of Secrets, accounts and claims, where this release makes them."""
    _, spec = pod
    made = {account["metadata"]["name"] for account in by_kind.get("ServiceAccount", [])}
    if made and spec["serviceAccountName"] not in made:
        yield f"runs as {spec['serviceAccountName']}, which does not exist"
    claims = {claim["metadata"]["name"] for claim in by_kind.get("PersistentVolumeClaim", [])}
    for volume in spec.get("volumes", []):
        name = volume.get("persistentVolumeClaim", {}).get("claimName")
        if claims and volume["name"] == "index" and name not in claims:
            yield f"mounts the claim {name}, which does not exist"
    external = {e["spec"]["target"]["name"]: {d["secretKey"] for d in e["spec"]["data"]} for e in by_kind.get("ExternalSecret", [])}
    for container in spec["containers"]:
        for variable in container["env"]:
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference and external and reference["key"] not in external.get(reference["name"], set()):
                yield f"{variable['name']} comes from {reference['name']}/{reference['key']}, which does not exist"
    names = [variable["name"] for container in spec["containers"] for variable in container["env"]]
    if item["kind"] == "Deployment" and "AZURE_SEARCH_API_KEY" in names and "AZURE_SEARCH_QUERY_KEY" in names:
        yield "the server needs to read only, and holds the key for writing too"
    if item["kind"] in ("CronJob", "Job") and "OPENAI_API_KEY" in names:
        yield "ingestion asks no language model and needs no key for one"
    if item["kind"] == "Pod":
        service = by_kind["Service"][0]["metadata"]["name"].upper().replace("-", "_")
        if not spec.get("enableServiceLinks") or {"name": "HOST", "value": f"$({service}_SERVICE_HOST)"} not in spec["containers"][0]["env"]:
            yield "asks no address of the service"


def of_selectors(by_kind, pods):
    server = [labels for item, (labels, _) in pods if item["kind"] == "Deployment"][0]
    others = [labels for item, (labels, _) in pods if item["kind"] != "Deployment"]
    deployment = by_kind["Deployment"][0]
    service = by_kind["Service"][0]
    selectors = {
        "Deployment": deployment["spec"]["selector"]["matchLabels"],
        "Service": service["spec"]["selector"],
        **{kind: by_kind[kind][0]["spec"]["selector"]["matchLabels"] for kind in ("PodDisruptionBudget",) if kind in by_kind},
    }
    for kind, selector in selectors.items():
        if not selector.items() <= server.items():
            yield f"{kind}: selects other pods than the server's"
        if any(selector.items() <= labels.items() for labels in others):
            yield f"{kind}: selects pods of ingestion or tests as well"
    ports = {port["name"]: port for port in service["spec"]["ports"]}
    if ports["http"]["targetPort"] != "http":
        yield "Service: forwards to no port of the server"
    for monitor in by_kind.get("ServiceMonitor", []):
        if not monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items() or monitor["spec"]["endpoints"][0]["port"] not in ports:
            yield "ServiceMonitor: finds no service"
    for scaler in by_kind.get("HorizontalPodAutoscaler", []):
        if scaler["spec"]["scaleTargetRef"] != {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"]}:
            yield "HorizontalPodAutoscaler: scales nothing"
        if "replicas" in deployment["spec"]:
            yield "HorizontalPodAutoscaler: each upgrade would set the replicas back"
    for ingress in by_kind.get("Ingress", []):
        spec = ingress["spec"]
        hosts = {host for entry in spec.get("tls", []) for host in entry["hosts"] if entry.get("secretName")}
        for rule in spec["rules"]:
            if rule["host"] not in hosts:
                yield f"Ingress: {rule['host']} is served in the clear"
            for path in rule["http"]["paths"]:
                if path["backend"]["service"] != {"name": service["metadata"]["name"], "port": {"name": "http"}}:
                    yield f"Ingress: {path['path']} leads nowhere"
                if path["path"] not in ("/query", "/search") or path["pathType"] != "Exact":
                    yield f"Ingress: {path['path']} is not for the outside"
    shards = [c["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"] for c in by_kind.get("CronJob", [])]
    told = [args[args.index("--shard") + 1] for args in shards if "--shard" in args]
    if len(shards) > 1 and told != [f"{i}/{len(shards)}" for i in range(1, len(shards) + 1)]:
        yield f"CronJob: the shards {told} do not make up the whole"


def of_network(by_kind):
    for policy in by_kind.get("NetworkPolicy", []):
        spec = policy["spec"]
        if set(spec.get("policyTypes", [])) != {"Ingress", "Egress"}:
            yield "NetworkPolicy: leaves one direction open"
        for rule in spec["ingress"]:
            if not rule.get("from") or {} in rule["from"] or rule.get("ports") != [{"protocol": "TCP", "port": 8000}]:
                yield "NetworkPolicy: lets anybody in, or to any port"
        for rule in spec["egress"]:
            if not rule.get("ports"):
                yield "NetworkPolicy: lets everything out"
            for block in rule.get("to", []):
                cidr = block.get("ipBlock", {})
                if cidr.get("cidr") == "0.0.0.0/0" and "169.254.169.254/32" not in cidr.get("except", []):
                    yield "NetworkPolicy: the node's identity can be asked for"
        if not any({"protocol": "UDP", "port": 53} in rule.get("ports", []) for rule in spec["egress"]):
            yield "NetworkPolicy: no name can be resolved"


def agreements(root):
    """What stands in two places and must be the same."""
    chart = yaml.safe_load((root / "charts/rag-api/Chart.yaml").read_text(encoding="utf-8"))
    values = yaml.safe_load((root / "charts/rag-api/values.yaml").read_text(encoding="utf-8"))
    schema = json.loads((root / "charts/rag-api/values.schema.json").read_text(encoding="utf-8"))["properties"]
    example = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", (root / ".env.example").read_text(encoding="utf-8"), re.M))
    plain = set(schema["env"]["propertyNames"]["enum"])
    keys = set(schema["secrets"]["properties"]["keys"]["propertyNames"]["enum"])
    for name in sorted(set(example) - plain - keys - OWNED):
        yield f".env.example has {name}: add it to env or to secrets in values.schema.json, or to OWNED in chart_rules.py"
    for name in sorted((plain | keys | OWNED) - set(example)):
        yield f"the chart knows {name}, .env.example does not"
    if keys & plain or keys != set(schema["secrets"]["properties"]["ingestKeys"]["propertyNames"]["enum"]):
        yield "secrets.keys and secrets.ingestKeys must know the same names, and env none of them"
    for name in sorted(plain):
        if SECRET.search(name):
            yield f"{name} looks like a secret: it belongs to secrets"
    if example.get("PORT") != "8000":
        yield f"the server's port is {example.get('PORT')} by default, the chart's 8000"
    if example.get("SHUTDOWN_GRACE_SECONDS") != str(values["shutdownGraceSeconds"]):
        yield f"SHUTDOWN_GRACE_SECONDS is {example.get('SHUTDOWN_GRACE_SECONDS')} by default, the chart's {values['shutdownGraceSeconds']}"
    version = re.search(r'^version = "(.+)"', (root / "Cargo.toml").read_text(encoding="utf-8"), re.M)[1]
    if str(chart["appVersion"]) != version:
        yield f"Cargo.toml says {version}, appVersion {chart['appVersion']}"
    routes = (root / "src/http/mod.rs").read_text(encoding="utf-8")
    for route in ("/health", "/ready", "/metrics", "/query", "/search"):
        if f'route("{route}"' not in routes:
            yield f"the server has no route {route} (src/http/mod.rs)"
    dockerfile = root / "Dockerfile"
    if dockerfile.is_file():
        users = re.findall(r"^FROM .* AS runtime\n(?:.*\n)*?USER (\d+):(\d+)$", dockerfile.read_text(encoding="utf-8"), re.M)
        wanted = (str(values["podSecurityContext"]["runAsUser"]), str(values["podSecurityContext"]["runAsGroup"]))
        if users != [wanted]:
            yield f"the image's user is {users}, the chart's {wanted}"
        if "INDEX_DIR=/var/lib/rag-api/index" not in dockerfile.read_text(encoding="utf-8"):
            yield "the image's INDEX_DIR is not the chart's"
