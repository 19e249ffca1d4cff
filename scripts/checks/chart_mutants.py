#!/usr/bin/env python3
"""Makes one mistake after the other in a copy of the chart and demands that check_chart.py finds each.

usage: chart_mutants.py

Prints what was found; exit code 1 when a mistake was not. Needs the tools of chart.txt.
"""

import pathlib
import shutil
import sys
import tempfile

import check_chart

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOYMENT, HELPERS, INGEST = "templates/deployment.yaml", "templates/_helpers.tpl", "templates/ingest.yaml"

# What is wrong, file, text, text instead; the first occurrence is changed.
MUTANTS = [
    ("a writable root", HELPERS, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
    ("capabilities kept", HELPERS, "drop: [ALL]", "drop: [NET_RAW]"),
    ("more rights allowed", HELPERS, "allowPrivilegeEscalation: false\n", ""),
    ("no seccomp", HELPERS, "type: RuntimeDefault", "type: Unconfined"),
    ("a user of the node", "values.yaml", "runAsUser: 65532", "runAsUser: 999"),
    ("the schema lets root in", "values.schema.json", '"minimum": 10000', '"minimum": 0'),
    ("the cluster's token mounted", HELPERS, "automountServiceAccountToken: false", "automountServiceAccountToken: true"),
    ("the node's network", HELPERS, "enableServiceLinks: false", "enableServiceLinks: false\nhostNetwork: true"),
    ("liveness that asks for the index", DEPLOYMENT, "livenessProbe:\n            httpGet: {path: /health", "livenessProbe:\n            httpGet: {path: /ready"),
    ("a probe on no route", DEPLOYMENT, "path: /ready", "path: /readyz"),
    ("a probe on another port", DEPLOYMENT, "readinessProbe:\n            httpGet: {path: /ready, port: http}", "readinessProbe:\n            httpGet: {path: /ready, port: 8080}"),
    ("killed before it may stop", DEPLOYMENT, "add .Values.preStopSeconds .Values.shutdownGraceSeconds 5", "add 5 .Values.preStopSeconds"),
    ("another port than declared", DEPLOYMENT, "containerPort: 8000", "containerPort: 8080"),
    ("a field Kubernetes does not know", DEPLOYMENT, "revisionHistoryLimit", "revisionsHistoryLimit"),
    ("a number where text belongs", HELPERS, "value: {{ .Values.shutdownGraceSeconds | quote }}", "value: {{ .Values.shutdownGraceSeconds }}"),
    ("values cut by missing quotes", HELPERS, "  value: {{ $value | quote }}", "  value: {{ $value }}"),
    ("wrong indentation", DEPLOYMENT, '(list . .Values.secrets.keys) | nindent 12', '(list . .Values.secrets.keys) | nindent 6'),
    ("a value that nobody defines", DEPLOYMENT, ".Values.tmpSize", ".Values.tempSize"),
    ("a local index with rolling updates", DEPLOYMENT, "type: Recreate", "type: RollingUpdate"),
    ("a local index for several", HELPERS, '{{- fail "index.backend: a local index belongs to one replica; several need azure" }}', ""),
    ("an index beside the volume", HELPERS, "value: /var/lib/rag-api/index", "value: /data/index"),
    ("a volume nobody mounts", DEPLOYMENT, "            - name: tmp\n              mountPath: /tmp\n", ""),
    ("a service that finds ingestion too", "templates/service.yaml", "    app.kubernetes.io/component: server\n", ""),
    ("a service on no port", "templates/service.yaml", "targetPort: http", "targetPort: web"),
    ("a scaler of nothing", "templates/hpa.yaml", 'kind: Deployment\n    name: {{ include "rag-api.fullname" . }}', "kind: Deployment\n    name: rag"),
    ("an old API", "templates/hpa.yaml", "autoscaling/v2", "autoscaling/v2beta2"),
    ("replicas set back by upgrades", DEPLOYMENT, "{{- if not .Values.autoscaling.enabled }}", "{{- if .Values.replicas }}"),
    ("a budget for no pod", "templates/pdb.yaml", "component: server", "component: web"),
    ("TLS for another host", "templates/ingress.yaml", "- hosts: [{{ $host | quote }}]", '- hosts: ["example.org"]'),
    ("metrics for the world", "templates/ingress.yaml", 'list "/query" "/search"', 'list "/query" "/metrics"'),
    ("anybody may come in", "templates/networkpolicy.yaml", "- podSelector: {}\n        {{- end }}\n      ports:\n        - {protocol: TCP, port: 8000}", "- podSelector: {}\n        {{- end }}"),
    ("only one direction watched", "templates/networkpolicy.yaml", "[Ingress, Egress]", "[Ingress]"),
    ("no names resolved", "templates/networkpolicy.yaml", "        - {protocol: UDP, port: 53}\n", ""),
    ("the node's identity within reach", "values.yaml", "httpsExcept: [169.254.169.254/32]", "httpsExcept: []"),
    ("metrics that are nowhere", "templates/servicemonitor.yaml", "path: /metrics", "path: /prometheus"),
    ("a monitor of no port", "templates/servicemonitor.yaml", "port: http", "port: metrics"),
    ("another Secret than the one made", "templates/externalsecret.yaml", 'name: {{ include "rag-api.secretName" . }}', "name: rag-api-keys"),
    ("a field the operator does not know", "templates/externalsecret.yaml", "remoteRef:", "remoteReference:"),
    ("a key in the open", HELPERS, "  valueFrom:\n    secretKeyRef:\n      name: {{ include \"rag-api.secretName\" $root }}\n      key: {{ $key }}\n", "  value: {{ $key }}\n"),
    ("keys allowed among values", "values.schema.json", '"OPENAI_BASE_URL",', '"OPENAI_BASE_URL", "OPENAI_API_KEY",'),
    ("all keys for ingestion", INGEST, "$.Values.secrets.ingestKeys", "$.Values.secrets.keys"),
    ("shards from 0", INGEST, "untilStep 1 (int (add1 .Values.ingest.shards)) 1", "until (int .Values.ingest.shards)"),
    ("an account that is not made", INGEST, '{{ include "rag-api.serviceAccountName" $ }}-ingest', '{{ include "rag-api.serviceAccountName" $ }}-job'),
    ("names too long for a CronJob", HELPERS, "{{- .Values.fullnameOverride | trunc 40", "{{- .Values.fullnameOverride | trunc 63"),
    ("a policy Kubernetes does not know", INGEST, "concurrencyPolicy: Forbid", "concurrencyPolicy: Never"),
    ("containers that restart for ever", INGEST, "restartPolicy: Never", "restartPolicy: Always"),
    ("a test of nothing", "templates/tests/health.yaml", "_SERVICE_HOST)", "_HOST)"),
    ("a template that renders nothing", "templates/pdb.yaml", ".Values.podDisruptionBudget.enabled", ".Values.podDisruptionBudget.enable"),
    ("an unknown variable", "values-prod.yaml", "TRACE_INCOMING: new", "TRACE_INCOMMING: new"),
    ("a forgotten variable", "values.schema.json", '"ENV_NAME", ', ""),
    ("another version than the program's", "Chart.yaml", "appVersion: 0.1.0", "appVersion: 0.9.0"),
    ("another grace than the program's", "values.yaml", "shutdownGraceSeconds: 25", "shutdownGraceSeconds: 20"),
    ("a digest that may be missing", "values-prod.yaml", "requireDigest: true", "requireDigest: false"),
    ("unknown values accepted", "values.schema.json", '"additionalProperties": false,\n  "properties": {\n    "global"', '"properties": {\n    "global"'),
]


def main():
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder)
        shutil.copytree(ROOT / "charts", copy / "charts")
        for file in ("Cargo.toml", ".env.example", "Dockerfile", "src/http/mod.rs", "scripts/checks/custom_resources.json"):
            if (ROOT / file).is_file():
                (copy / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / file, copy / file)
        if problems := list(check_chart.problems(copy)):
            print("without any mistake there is a problem already:", *problems, sep="\n")
            return 1
        missed = 0
        for what, name, old, new in MUTANTS:
            file = copy / "charts/rag-api" / name
            text = file.read_text(encoding="utf-8")
            if old not in text:
                print(f"{what}: {name} has no `{old.strip()}` any more")
                missed += 1
                continue
            file.write_text(text.replace(old, new, 1), encoding="utf-8")
            found = next(check_chart.problems(copy), None)
            file.write_text(text, encoding="utf-8")
            missed += not found
            print(f"{'found' if found else 'MISSED':7} {what} ({name}): {' '.join((found or '').split())[:110]}", flush=True)
        print(f"{len(MUTANTS) - missed} of {len(MUTANTS)} mistakes in the chart found")
        return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
