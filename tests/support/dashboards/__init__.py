"""Dashboards drawn from their JSON and a Prometheus' answers, where there is no Grafana. Only what our panels use is drawn."""
