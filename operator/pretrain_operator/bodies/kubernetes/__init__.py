"""The Kubernetes body: the plan carried out with Pods, Jobs and ConfigMaps through an API server. No rule lives here."""
