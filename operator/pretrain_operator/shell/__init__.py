"""The process around the Kubernetes body: Kopf, leader election, probes, one daemon per job. No rule lives here."""
