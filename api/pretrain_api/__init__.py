"""What operator, trainer and command line share: the PretrainJob types and every name and file format.

No decisions about a running job live here, and nothing here imports torch or a Kubernetes client.
"""
