"""What a plan of terraform/environments must keep, read from `terraform show -json`.

checkov has no rule for Container Apps, environments, identities and role assignments, so the rules for them are here.
Each rule is a function from a Plan to the sentences that say what is wrong.
"""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A role that is not here is too wide or not needed; where it may be given, by the address of its assignment.
ROLES = {
    "Search Index Data Reader": r"module\.search\..*\.reader\[",
    "Search Index Data Contributor": r"module\.search\..*\.writer\[",
    "Search Service Contributor": r"module\.search\..*\.writer\[",
    "Cognitive Services OpenAI User": r"module\.openai\[0\]\..*\.user\[",
    "Key Vault Secrets User": r"\.vault_reader\[",
    "Key Vault Secrets Officer": r"\.vault_officer\[",
    "Container Apps Contributor": r'\.deploy\["(app|environment)"\]',
    "Container Apps Jobs Contributor": r'\.deploy\["rag-',
    "Managed Identity Operator": r'\.deploy\["identity-(app|job)"\]',
    "AcrPull": r"\.registry_pull\[",
}
# Module, its argument, and the identity that it is about.
IDENTITIES = [
    ("search", "readers", "app"), ("search", "writers", "job"), ("openai", "users", "app"),
    ("workload", "app_identity", "app"), ("workload", "job_identity", "job"),
]
# Read by the Datadog agent inside the image, not by the service, so .env.example does not have them.
AGENT = {"DD_API_KEY", "DD_SITE", "DD_AZURE_SUBSCRIPTION_ID", "DD_AZURE_RESOURCE_GROUP"}
SECRET_NAME = re.compile(r"_(API_)?KEY$|SECRET|PASSWORD|_TOKEN$|_HEADERS$")
SECRET_VALUE = re.compile(r"\bsk-[A-Za-z0-9]{8}|AccountKey=|SharedAccessSignature|-----BEGIN|\bgh[pousr]_[A-Za-z0-9]{20}|[?&]sig=")
# Resources that keep what they make or are given in the state.
LEAKY = {"azurerm_key_vault_secret", "random_password", "tls_private_key", "azurerm_key_vault_certificate"}


class Plan:
    def __init__(self, document, env):
        self.document, self.env = document, env
        self.resources = list(walk(document["planned_values"]["root_module"]))
        self.variables = {name: entry.get("value") for name, entry in document.get("variables", {}).items()}

    def of(self, kind):
        return [r for r in self.resources if r["type"] == kind]

    def values(self, kind):
        return [r["values"] for r in self.of(kind)]

    def one(self, kind):
        (values,) = self.values(kind)
        return values

    @property
    def containers(self):
        for r in self.of("azurerm_container_app") + self.of("azurerm_container_app_job"):
            for container in r["values"]["template"][0]["container"]:
                yield r["address"], container


def walk(module):
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from walk(child)


def roles_are_the_least(plan):
    for r in plan.of("azurerm_role_assignment"):
        name, address = r["values"].get("role_definition_name"), r["address"]
        if name not in ROLES:
            yield f"{address}: the role {name} is not among those this project needs"
        elif not re.search(ROLES[name], address):
            yield f"{address}: {name} is given where it does not belong"
        if "vault_officer" not in address and r["values"].get("principal_type") != "ServicePrincipal":
            yield f"{address}: say principal_type, or a new identity is not found yet"


def identities_are_given_to_whom_they_belong(plan):
    """Which principal it will be is known only after apply, so this reads what the configuration refers to."""
    stack = plan.document["configuration"]["root_module"]["module_calls"]["stack"]["module"]
    calls = stack["module_calls"]
    for module, argument, identity in IDENTITIES:
        said = calls[module]["expressions"].get(argument, {}).get("references", [])
        used = set(re.findall(r'azurerm_user_assigned_identity\.this\["(\w+)"\]', " ".join(said)))
        if used != {identity}:
            yield f"module {module}: {argument} is of {sorted(used) or 'nobody'}, not of {identity}"


def the_app_is_as_the_service_expects(plan):
    for app in plan.values("azurerm_container_app"):
        template, ingress = app["template"][0], app["ingress"][0]
        container = template["container"][0]
        env = {e["name"]: e.get("value") for e in container["env"]}
        defaults = example()
        if app["revision_mode"] != "Multiple":
            yield "the app has one revision only: no canary, no way back"
        if not ingress["target_port"] == int(env["PORT"]) == int(defaults["PORT"]):
            yield f"ports differ: ingress {ingress['target_port']}, PORT {env['PORT']}, .env.example {defaults['PORT']}"
        for kind, path in {"startup": "/health", "liveness": "/health", "readiness": "/ready"}.items():
            probes = container.get(f"{kind}_probe") or []
            asked = [(p["transport"], p["port"], p["path"]) for p in probes]
            if asked != [("HTTP", ingress["target_port"], path)]:
                yield f"the {kind} probe asks {asked}, not {path}"
        if template["termination_grace_period_seconds"] <= int(env["SHUTDOWN_GRACE_SECONDS"]):
            yield "the platform ends a replica before it has drained"
        if not template.get("http_scale_rule"):
            yield "there is no scale rule on HTTP concurrency"
        elif int(template["http_scale_rule"][0]["concurrent_requests"]) >= int(env["MAX_CONCURRENT_REQUESTS"]):
            yield "requests are turned away before another replica starts"
        if plan.env == "prod" and template["min_replicas"] < 1:
            yield "prod must have a replica at any time"
        if ingress["allow_insecure_connections"] is not False:
            yield "HTTP without TLS is let in"
        if ingress["external_enabled"] and not ingress["ip_security_restriction"]:
            yield "the service has no login of its own and is open to everybody"
        if [t for t in ingress["traffic_weight"] if t["percentage"] == 100 and t["latest_revision"]] != ingress["traffic_weight"]:
            yield "the first revision must take all traffic"


def shards_make_a_whole(plan):
    said = [c["args"][c["args"].index("--shard") + 1] for a, c in plan.containers if "job" in a and "--shard" in (c["args"] or [])]
    jobs = plan.values("azurerm_container_app_job")
    if sorted(said) != sorted(f"{i}/{len(jobs)}" for i in range(1, len(jobs) + 1)):
        yield f"{len(jobs)} jobs do the shards {said}"
    for job in jobs:
        triggers = job["manual_trigger_config"] + job["schedule_trigger_config"]
        if [(t["parallelism"], t["replica_completion_count"]) for t in triggers] != [(1, 1)]:
            yield f"{job['name']} must have one trigger and one replica: replicas have no number"
        mounts = job["template"][0]["container"][0]["volume_mounts"]
        volumes = {v["name"]: v for v in job["template"][0]["volume"]}
        if any(volumes.get(m["name"], {}).get("storage_type") != "NfsAzureFile" for m in mounts):
            yield f"{job['name']} mounts what is not an NFS share; others need a key in the state"


def secrets_are_references(plan):
    for r in plan.resources:
        if r["type"] in LEAKY:
            yield f"{r['address']}: {r['type']} keeps a secret in the state"
        for secret in r["values"].get("secret") or []:
            # A value that is known only after apply is left out of the plan.
            if secret.get("value", "unknown") is not None:
                yield f"{r['address']}: secret {secret['name']} is a value, not a reference to the vault"
    for address, container in plan.containers:
        for env in container["env"]:
            if SECRET_NAME.search(env["name"]) and (env.get("value") is not None or not env.get("secret_name")):
                yield f"{address}: {env['name']} is a secret given as a value"
    for storage in plan.values("azurerm_container_app_environment_storage"):
        if storage.get("access_key") or storage.get("access_mode") != "ReadOnly":
            yield "documents are mounted with a key or for writing"
    if found := SECRET_VALUE.search(json.dumps(plan.document)):
        yield f"the plan holds what looks like a secret: {found.group()[:6]}…"


def variables_are_those_of_the_service(plan):
    known = set(example()) | AGENT
    for address, container in plan.containers:
        names = [env["name"] for env in container["env"]]
        yield from (f"{address}: {name} is not in .env.example" for name in names if name not in known)
        yield from (f"{address}: {name} is said twice" for name in {n for n in names if names.count(n) > 1})
        if not {"SEARCH_BACKEND", "AZURE_SEARCH_ENDPOINT", "AZURE_SEARCH_INDEX_NAME", "AZURE_CLIENT_ID"} <= set(names):
            yield f"{address}: the service is not told where its index is, or who it is"
    for address, container in plan.containers:
        if not re.search(r"@sha256:[0-9a-f]{64}$", container["image"]):
            yield f"{address}: the image has no digest"


def doors_are_closed(plan):
    private = plan.env == "prod"
    opened = bool(plan.variables.get("allowed_ips"))
    for kind, what in {"azurerm_search_service": "search", "azurerm_key_vault": "the vault", "azurerm_cognitive_account": "the model"}.items():
        for values in plan.values(kind):
            if private and values["public_network_access_enabled"] and not opened:
                yield f"{what} is reachable from the internet, and nobody asked for it (allowed_ips)"
            if private and kind != "azurerm_search_service" and values["network_acls"][0]["default_action"] != "Deny":
                yield f"{what} lets every address in"
            if private and opened and kind == "azurerm_search_service" and not values["allowed_ips"]:
                yield f"{what} lets every address in"
    for kind in ["azurerm_search_service", "azurerm_log_analytics_workspace"]:
        yield from (f"{kind} takes keys" for values in plan.values(kind) if values["local_authentication_enabled"] is not False)
    yield from ("Azure OpenAI takes keys" for values in plan.values("azurerm_cognitive_account") if values["local_auth_enabled"] is not False)
    for vault in plan.values("azurerm_key_vault"):
        if not (vault["rbac_authorization_enabled"] and vault["purge_protection_enabled"]):
            yield "the vault must go by roles and be protected from purging"
    for rule in plan.values("azurerm_network_security_rule"):
        wide = rule["source_address_prefix"] in ("*", "Internet", "0.0.0.0/0")
        ports = set(rule["destination_port_ranges"] or [rule["destination_port_range"]])
        if rule["access"] == "Allow" and rule["direction"] == "Inbound" and wide and not ports <= {"443", "31443"}:
            yield f"the network lets the internet in at {sorted(ports)}"
    services = len(plan.of("azurerm_search_service") + plan.of("azurerm_key_vault") + plan.of("azurerm_cognitive_account"))
    if private and len(plan.of("azurerm_private_endpoint")) != services:
        yield "a service of prod has no private endpoint"
    if private and len(plan.of("azurerm_subnet")) != len(plan.of("azurerm_subnet_network_security_group_association")):
        yield "a subnet has no rules"


def prod_survives_a_zone(plan):
    if plan.env == "prod":
        if not plan.one("azurerm_container_app_environment")["zone_redundancy_enabled"]:
            yield "prod lies in one zone"
        if plan.one("azurerm_search_service")["replica_count"] < 3:
            yield "prod needs three replicas of search: Microsoft's promise for reads and writes"


def only_named_runs_deploy(plan):
    credentials = plan.values("azurerm_federated_identity_credential")
    if not credentials:
        yield "nobody can deploy"
    for credential in credentials:
        if not re.fullmatch(r"repo:[\w.-]+/[\w.-]+:environment:[\w-]+", credential["subject"]):
            yield f"the subject {credential['subject']} is not one environment of one repository"
        if credential["issuer"] != "https://token.actions.githubusercontent.com" or credential["audience"] != ["api://AzureADTokenExchange"]:
            yield "issuer or audience of the federated credential is wrong"


def it_is_watched(plan):
    # The environment's own logs are the only ones there are: without the setting nothing is kept.
    settings = {r["index"]: r["values"] for r in plan.of("azurerm_monitor_diagnostic_setting")}
    if {log["category"] for log in settings.get("environment", {}).get("enabled_log", [])} != {"ContainerAppConsoleLogs", "ContainerAppSystemLogs"}:
        yield "logs of the containers are not kept"
    if settings.get("search", {}).get("enabled_log"):
        yield "logs of search hold the text of questions"
    if plan.one("azurerm_container_app_environment")["logs_destination"] != "azure-monitor":
        yield "logs would travel with the workspace's shared key"
    if not plan.of("azurerm_monitor_metric_alert") or not plan.of("azurerm_consumption_budget_resource_group"):
        yield "there are no alerts or no budget"
    if not plan.one("azurerm_monitor_action_group")["email_receiver"]:
        yield "alerts reach nobody"


def everything_is_tagged(plan):
    for r in plan.resources:
        if "tags" in r["values"] and not {"service", "managed-by"} <= set(r["values"]["tags"] or {}):
            yield f"{r['address']} has no tags"
        elif "tags" in r["values"] and r["values"]["tags"].get("env") != plan.env:
            yield f"{r['address']} has another environment's tag"


RULES = [
    roles_are_the_least, identities_are_given_to_whom_they_belong, the_app_is_as_the_service_expects, shards_make_a_whole,
    secrets_are_references, variables_are_those_of_the_service, doors_are_closed, prod_survives_a_zone, only_named_runs_deploy,
    it_is_watched, everything_is_tagged,
]


def example():
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z][A-Z0-9_]*=", line))


def broken(document, env):
    plan = Plan(document, env)
    return [f"{rule.__name__}: {text}" for rule in RULES for text in rule(plan)]
