"""The program of a job's pod: it starts the stage program, and stands between it and Kubernetes.

It loads neither torch nor a Kubernetes client. What a stage does is not its business.
"""
