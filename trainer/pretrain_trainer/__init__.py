"""Everything that runs inside a job's pods: the stage programs, the data plane, the train loop, checkpoints.

Imports nothing from the operator.
"""
