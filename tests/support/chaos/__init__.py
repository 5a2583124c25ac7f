"""Chaos on a cluster that trains: what breaks, in which order, and what is seen meanwhile."""
