"""The training stage's machinery: loop, optimizer, schedule, world, precision, checkpoints, history.

Everything here is keyed by samples seen, so that a run means the same at any world size.
"""
