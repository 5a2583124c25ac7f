"""The agent of a training worker: imports what its ranks need once, forks them, watches them, and speaks for them."""
