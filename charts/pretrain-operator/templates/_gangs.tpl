{{- /* What the operator may do beside its rules for the gang schedulers of rbac.gangs: a group for each start. */}}
{{- define "pretrain-operator.gangRules" -}}
{{- $groups := dict "native" "scheduling.k8s.io" "volcano" "scheduling.volcano.sh" "coscheduling" "scheduling.x-k8s.io" }}
{{- range .Values.rbac.gangs }}
- apiGroups: [{{ get $groups . }}]
  resources: [podgroups]
  verbs: [get, list, create, delete]
{{- end }}
{{- end }}
