{{- /* What the operator may do in the namespaces of its jobs. Secrets are not among it: pods refer to them by name. */}}
{{- define "pretrain-operator.rules" -}}
# The jobs. delete belongs to ttlSecondsAfterFinished.
- apiGroups: [pretrain.dev]
  resources: [pretrainjobs]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [pretrain.dev]
  resources: [pretrainjobs/status]
  verbs: [patch]
# Owner references that block the job's deletion, where the API server checks them.
- apiGroups: [pretrain.dev]
  resources: [pretrainjobs/finalizers]
  verbs: [update]
# Workers, stages, and what they read and write.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch]
# Made once for each job, unless somebody else's is there; garbage collection removes them with it.
- apiGroups: [""]
  resources: [serviceaccounts, services]
  verbs: [get, create, patch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, create, patch]
# Read to say why a pod does not start.
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
{{- end }}
