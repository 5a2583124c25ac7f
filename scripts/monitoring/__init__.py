"""Monitoring as code: alerts, recording rules and dashboards, from which the chart's files and `manifests/monitoring` are made."""
