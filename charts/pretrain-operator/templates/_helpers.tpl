{{- define "pretrain-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* At most 55 characters, so that -metrics and the like fit behind it. */}}
{{- define "pretrain-operator.fullname" -}}
{{- $name := include "pretrain-operator.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 55 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 55 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "pretrain-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "pretrain-operator.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "pretrain-operator.ownLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "pretrain-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* Labels of an object. The chart's own win over those of the values, which must not break its selectors. */}}
{{- define "pretrain-operator.labels" -}}
{{- merge (include "pretrain-operator.ownLabels" . | fromYaml) .Values.commonLabels | toYaml }}
{{- end }}

{{- define "pretrain-operator.podLabels" -}}
{{- merge (include "pretrain-operator.ownLabels" . | fromYaml) .Values.podLabels .Values.commonLabels | toYaml }}
{{- end }}

{{- define "pretrain-operator.serviceAccountName" -}}
{{- default (ternary (include "pretrain-operator.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- /* The full name of an image, given (dict "image" IMAGE "root" $). */}}
{{- define "pretrain-operator.image" -}}
{{- if .image.digest }}
{{- printf "%s@%s" .image.repository .image.digest }}
{{- else }}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) }}
{{- end }}
{{- end }}

{{- /* Where the operator runs jobs, as a JSON list. Empty: everywhere. */}}
{{- define "pretrain-operator.namespaces" -}}
{{- if eq .Values.rbac.scope "namespace" }}
{{- default (list .Release.Namespace) .Values.rbac.namespaces | uniq | toJson }}
{{- else }}
{{- list | toJson }}
{{- end }}
{{- end }}

{{- /* Contradictions between values, which the schema cannot say in words. */}}
{{- define "pretrain-operator.check" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.leaderElection.enabled) }}
{{- fail (printf "replicas is %d, but leaderElection.enabled is false: each of them would run the same jobs. Write replicas: 1, or leaderElection.enabled: true." (int .Values.replicas)) }}
{{- end }}
{{- if and .Values.rbac.namespaces (ne .Values.rbac.scope "namespace") }}
{{- fail (printf "rbac.namespaces is written, but rbac.scope is %s. Write rbac.scope: namespace, or remove rbac.namespaces." .Values.rbac.scope) }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.service.enabled) }}
{{- fail "metrics.serviceMonitor.enabled is true, but metrics.service.enabled is false. Enable the Service, or take metrics.podMonitor." }}
{{- end }}
{{- if eq (int .Values.metrics.port) (int .Values.health.port) }}
{{- fail (printf "metrics.port and health.port are both %d. Write another port for one of them." (int .Values.health.port)) }}
{{- end }}
{{- end }}
