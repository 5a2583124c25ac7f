"""What people do with a run's checkpoints: list, verify, compare, remove and convert them. Training does without."""
