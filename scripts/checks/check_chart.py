#!/usr/bin/env python3
"""Renders the chart with several sets of values and holds every object to schemas and to the rules of chart_rules.py.

usage: check_chart.py [ROOT]

Helm's own engine renders and lints; Kubernetes' schemas (oldest and newest supported release, strictly) and
custom_resources.json judge the objects; bad values must be refused with a message that names them; names and numbers
that code and chart share must agree. Prints one line a problem; exit code 1 when there is one. The last line sums up.
"""

import json
import pathlib
import re
import sys

import chart_rules
import helm_python as helm
import jsonschema
import kubernetes_validate
import yaml

KUBERNETES = ("1.30.0", "1.37.0")
# What each set of values in ci/ must bring forth; a template that renders nothing breaks no schema.
SETS = {
    "bare": {"Deployment": 1, "Service": 1, "ServiceAccount": 1, "Pod": 1},
    "local": {
        "Deployment": 1, "Service": 1, "ServiceAccount": 2, "Pod": 1, "PersistentVolumeClaim": 1, "PodDisruptionBudget": 1,
        "NetworkPolicy": 1, "CronJob": 1, "Job": 1,
    },
    "keys": {"Deployment": 1, "Service": 1, "Pod": 1, "PodDisruptionBudget": 1, "NetworkPolicy": 1, "CronJob": 2},
    "prod": {
        "Deployment": 1, "Service": 1, "ServiceAccount": 2, "Pod": 1, "PodDisruptionBudget": 1, "NetworkPolicy": 1, "CronJob": 4, "Job": 4,
        "HorizontalPodAutoscaler": 1, "Ingress": 1, "ServiceMonitor": 1, "ExternalSecret": 1,
    },
}  # fmt: skip

# Values that must be refused: on which set, what is changed, what the message must say.
REFUSED = [
    ("bare", {"image": {"repository": ""}}, "image.repository"),
    ("bare", {"image": {"tag": "latest"}}, "tag"),
    ("bare", {"image": {"tag": ""}}, "image.tag"),
    ("bare", {"image": {"digest": "sha256:abc"}}, "digest"),
    ("prod", {"image": {"digest": "", "tag": "sha-1a2b3c4"}}, "image.requireDigest"),
    ("bare", {"replicas": 2}, "index.backend"),
    ("bare", {"autoscaling": {"enabled": True}}, "index.backend"),
    ("bare", {"index": {"backend": "azure"}}, "AZURE_SEARCH_ENDPOINT"),
    ("local", {"ingest": {"shards": 2}}, "ingest.shards"),
    ("local", {"ingest": {"documents": None}}, "ingest.documents"),
    ("local", {"ingest": {"documents": {"configMap": None, "hostPath": {"path": "/"}}}}, "documents"),
    ("bare", {"env": {"OPENAI_API_KEY": "sk-1"}}, "OPENAI_API_KEY"),
    ("bare", {"env": {"PORT": "9000"}}, "PORT"),
    ("bare", {"env": {"LOG_FROMAT": "json"}}, "LOG_FROMAT"),
    ("bare", {"env": {"MAX_BODY_BYTES": 1048576}}, "MAX_BODY_BYTES"),
    ("bare", {"secrets": {"keys": {"OPENAI_API_KEY": "key"}}, "env": {"OPENAI_MODEL": "m"}}, "secrets.existingSecret"),
    ("bare", {"secrets": {"existingSecret": "s", "keys": {"OPENAI_API_KEY": "key"}}}, "OPENAI_MODEL"),
    ("bare", {"secrets": {"existingSecret": "s", "keys": {"ENV_NAME": "key"}}}, "ENV_NAME"),
    ("prod", {"secrets": {"keys": {"OPENAI_API_KEY": "another-key"}}}, "externalSecret.remoteKeys"),
    ("prod", {"externalSecret": {"storeName": ""}}, "externalSecret.storeName"),
    ("prod", {"secrets": {"existingSecret": "s"}}, "exclude each other"),
    ("prod", {"ingress": {"host": ""}}, "ingress.host"),
    ("prod", {"ingress": {"tlsSecret": ""}}, "ingress.tlsSecret"),
    ("prod", {"autoscaling": {"minReplicas": 20}}, "minReplicas"),
    ("bare", {"podSecurityContext": {"runAsUser": 0}}, "runAsUser"),
    ("bare", {"podSecurityContext": {"runAsUser": 1000}}, "runAsUser"),
    ("bare", {"resources": {"limits": {"memory": "lots"}}}, "memory"),
    ("bare", {"shutdownGraceSeconds": 601}, "shutdownGraceSeconds"),
    ("bare", {"serviceAccount": {"create": False}}, "serviceAccount.name"),
    ("bare", {"autoscalling": {"enabled": True}}, "autoscalling"),
    ("prod", {"workloadIdentity": {"clientId": "my-identity"}}, "clientId"),
]


class UniqueKeys(yaml.SafeLoader):
    """YAML keeps the last of two equal keys and says nothing; Kubernetes refuses them."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        if doubled := {str(key) for key in keys if keys.count(key) > 1}:
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: {', '.join(sorted(doubled))} twice")
        return super().construct_mapping(node, deep)


def main(arguments):
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).resolve().parents[2])
    counts = []
    found = list(problems(root, counts))
    for problem in found:
        print(problem)
    print(
        f"{len(SETS)} sets of values: {sum(counts)} objects rendered, each valid for Kubernetes {' and '.join(KUBERNETES)};"
        f" {len(REFUSED)} bad values refused; {len(found)} problem(s)"
    )
    return 1 if found else 0


def problems(root, counts=None):
    """One after the other, so that who wants to know whether there is one need not wait for all."""
    folder = root / "charts/rag-api"
    try:
        chart = helm.Chart.load(folder)
        values = {name: values_of(folder, name) for name in SETS}
    except Exception as error:
        yield f"the chart cannot be read: {error}"
        return
    custom = json.loads((root / "scripts/checks/custom_resources.json").read_text(encoding="utf-8"))
    for problem in chart_rules.agreements(root):
        yield f"agreement: {problem}"
    for name, wanted in SETS.items():
        try:
            objects, notes = render(chart, values[name])
        except Exception as error:
            yield f"{name}: {error}"
            continue
        if counts is not None:
            counts.append(len(objects))
        for problem in of_set(folder, values[name], objects, notes, wanted, custom):
            yield f"{name}: {problem}"
    for name, change, message in REFUSED:
        try:
            render(chart, merged(values[name], change))
            yield f"{json.dumps(change)} on {name} is accepted"
        except Exception as error:
            if message not in str(error):
                yield f"{json.dumps(change)} on {name} is refused without a word of {message}: {error}"


def of_set(folder, values, objects, notes, wanted, custom):
    yield from compare_kinds(objects, wanted)
    if "helm test demo" not in notes or "<no value>" in notes or "<nil>" in notes:
        yield "NOTES.txt says nothing, or nil"
    for item in objects:
        for problem in against_schema(item, custom):
            yield f"{item.get('kind')} {item.get('metadata', {}).get('name')}: {problem}"
    try:
        yield from chart_rules.of_release(objects)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        # The rules expect objects that keep to the schemas; what does not was reported above.
        yield f"the rules could not judge it: {type(error).__name__}: {error}"
    yield from lint(folder, values)


def values_of(folder, name):
    """What a user gives: the set itself, for production on top of values-prod.yaml."""
    own = yaml.load((folder / f"ci/{name}-values.yaml").read_text(encoding="utf-8"), UniqueKeys)
    if name != "prod":
        return own
    return merged(yaml.load((folder / "values-prod.yaml").read_text(encoding="utf-8"), UniqueKeys), own)


def merged(below, above):
    """As Helm lays one values file over another; None takes a key away."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {key: merged(below.get(key), above[key]) if key in above else below[key] for key in below | above}


def render(chart, values):
    chart.validate_schema(values)
    objects, notes = [], ""
    for path, text in chart.render(values, name="demo", namespace="apps", revision=7).items():
        if path.endswith("NOTES.txt"):
            notes = text
            continue
        try:
            objects += [item for item in yaml.load_all(text, UniqueKeys) if item]
        except yaml.YAMLError as error:
            raise ValueError(f"{path} is no YAML: {error}") from error
    return objects, notes


def lint(folder, values):
    report = helm.lint(folder, values, strict=True, kube_version="v1.37.0")
    # 1 is advice, such as an icon.
    return [f"lint: {m['path']}: {m['error']}" for m in report["messages"] if m["severity"] > 1] + [f"lint: {e}" for e in report["errors"]]


def compare_kinds(objects, wanted):
    found = {}
    for item in objects:
        found[item.get("kind")] = found.get(item.get("kind"), 0) + 1
    return [f"{kind}: {found.get(kind, 0)} instead of {wanted.get(kind, 0)}" for kind in sorted(found | wanted) if found.get(kind) != wanted.get(kind)]


def against_schema(item, custom):
    if item.get("kind") in custom:
        return [re.sub(r"\s+", " ", error.message) for error in jsonschema.Draft7Validator(custom[item["kind"]]).iter_errors(item)]
    found = []
    for release in KUBERNETES:
        try:
            kubernetes_validate.validate(item, release, strict=True)
        except Exception as error:
            found.append(f"Kubernetes {release}: {re.sub(chr(10), ' ', str(error))[:200]}")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
