"""The repository's images: built from its Dockerfile without an image registry, and brought into a cluster's nodes.

Nothing about clusters themselves: those are in `support.cluster`.
"""
