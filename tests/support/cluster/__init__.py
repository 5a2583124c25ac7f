"""Kubernetes on this machine for tests and for development: an API server alone, with simulated nodes, or with real ones.

Nothing of the product lives here. `control_plane` and `cluster` are the two ways in; the other modules each know one
part. Everything that runs lies below one folder (`places`) and is removed when it ends or at the next start.
"""
