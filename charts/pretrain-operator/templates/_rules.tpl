{{- /* What the operator may do in the namespaces of its jobs. Secrets are not among it: pods refer to them by name. */}}
{{- define "pretrain-operator.rules" -}}
# delete belongs to ttlSecondsAfterFinished, patch to the finalizer.
- apiGroups: [pretrain.dev]
  resources: [pretrainjobs]
  verbs: [get, list, watch, patch, delete]
# What was recorded: conditions, stages, progress.
- apiGroups: [pretrain.dev]
  resources: [pretrainjobs/status]
  verbs: [patch]
# Owner references that block the job's deletion, where the API server checks them.
- apiGroups: [pretrain.dev]
  resources: [pretrainjobs/finalizers]
  verbs: [update]
# Training workers.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, delete]
# Stages other than training.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
# The job as its pods read it, the roster of its workers, and the report that they write.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch]
# One of each for a job, unless somebody else's is there; garbage collection removes them with it, and the next two.
- apiGroups: [""]
  resources: [serviceaccounts, services]
  verbs: [get, create, patch]
# What a job's pods may do. An API server lets the operator give away only what it has itself.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, create, patch]
# Who may reach a job's pods.
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, create, patch]
# What happened to a job; read to say why a pod does not start.
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
{{- end }}
