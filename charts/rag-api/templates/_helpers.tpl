{{- define "rag-api.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* At most 40 characters, so that the names made from it stay below Kubernetes' 52 for a CronJob. */}}
{{- define "rag-api.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "rag-api.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "rag-api.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "rag-api.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{ include "rag-api.selectorLabels" . }}
{{- end }}

{{- define "rag-api.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rag-api.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "rag-api.image" -}}
{{- $repository := required "image.repository: say where the image is, as in ghcr.io/OWNER/rag-api" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else if .Values.image.requireDigest }}
{{- fail "image.digest: this release asks for one (image.requireDigest); give the digest that the pipeline verified" }}
{{- else }}
{{- printf "%s:%s" $repository (required "image.tag: say which image, as in sha-1a2b3c4, or give image.digest" .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "rag-api.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "rag-api.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name: name the account to use, or let one be created" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "rag-api.secretName" -}}
{{- if .Values.secrets.existingSecret }}
{{- .Values.secrets.existingSecret }}
{{- else if .Values.externalSecret.enabled }}
{{- include "rag-api.fullname" . }}
{{- else }}
{{- fail "secrets.existingSecret: name the Secret that holds secrets.keys, or enable externalSecret" }}
{{- end }}
{{- end }}

{{- define "rag-api.claimName" -}}
{{- default (printf "%s-index" (include "rag-api.fullname" .)) .Values.index.local.existingClaim }}
{{- end }}

{{/* Rules that join two values; a schema sees each value alone. */}}
{{- define "rag-api.validate" -}}
{{- $local := eq .Values.index.backend "local" }}
{{- if and $local (or .Values.autoscaling.enabled (gt (int .Values.replicas) 1)) }}
{{- fail "index.backend: a local index belongs to one replica; several need azure" }}
{{- end }}
{{- if and $local (gt (int .Values.ingest.shards) 1) }}
{{- fail "ingest.shards: a local index has one writer; several need index.backend azure" }}
{{- end }}
{{- if and (not $local) (not .Values.env.AZURE_SEARCH_ENDPOINT) }}
{{- fail "env.AZURE_SEARCH_ENDPOINT: index.backend azure needs the address of the search service" }}
{{- end }}
{{- if and (or .Values.env.OPENAI_BASE_URL (hasKey .Values.secrets.keys "OPENAI_API_KEY")) (not .Values.env.OPENAI_MODEL) }}
{{- fail "env.OPENAI_MODEL: a language model needs its name" }}
{{- end }}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) }}
{{- fail "autoscaling.minReplicas is above autoscaling.maxReplicas" }}
{{- end }}
{{- if and .Values.externalSecret.enabled .Values.secrets.existingSecret }}
{{- fail "secrets.existingSecret and externalSecret.enabled exclude each other" }}
{{- end }}
{{- if .Values.externalSecret.enabled }}
{{- range $variable, $key := merge (dict) .Values.secrets.keys .Values.secrets.ingestKeys }}
{{- if not (hasKey $.Values.externalSecret.remoteKeys $key) }}
{{- fail (printf "externalSecret.remoteKeys: %s, the key for %s, is not fetched from the store" $key $variable) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Labels that pods have and selectors do not, from the root and the pod's component. */}}
{{- define "rag-api.podLabels" -}}
{{- $component := index . 1 }}
{{- with index . 0 }}
{{- include "rag-api.labels" . }}
app.kubernetes.io/component: {{ $component }}
{{- if .Values.datadog.enabled }}
tags.datadoghq.com/service: {{ default "rag-api" .Values.env.SERVICE_NAME | quote }}
tags.datadoghq.com/env: {{ default "local" .Values.env.ENV_NAME | quote }}
{{- end }}
{{- if ternary .Values.workloadIdentity.ingestClientId .Values.workloadIdentity.clientId (eq $component "ingest") }}
azure.workload.identity/use: "true"
{{- end }}
{{- with .Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{/* From the root and the keys that the pod may see. */}}
{{- define "rag-api.env" -}}
{{- $keys := index . 1 }}
{{- with index . 0 }}
- name: SEARCH_BACKEND
  value: {{ .Values.index.backend }}
{{- if eq .Values.index.backend "local" }}
- name: INDEX_DIR
  value: /var/lib/rag-api/index
{{- end }}
- name: PORT
  value: "8000"
- name: SHUTDOWN_GRACE_SECONDS
  value: {{ .Values.shutdownGraceSeconds | quote }}
{{- if .Values.datadog.enabled }}
- name: DD_AGENT_HOST
  valueFrom:
    fieldRef:
      fieldPath: status.hostIP
- name: DD_TRACE_AGENT_PORT
  value: {{ .Values.datadog.agentPort | quote }}
{{- end }}
{{- range $name, $value := .Values.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- $root := . }}
{{- range $name, $key := $keys }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ include "rag-api.secretName" $root }}
      key: {{ $key }}
{{- end }}
{{- end }}
{{- end }}

{{/* What all pods of this chart have in common, above their containers. */}}
{{- define "rag-api.podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
  fsGroupChangePolicy: OnRootMismatch
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "rag-api.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
