"""Checking a run against its order, from what it left in its storage. Only reads; nothing of the run's own program is
trusted but what it wrote down."""
