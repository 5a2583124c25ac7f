"""What carries the brain's plan out: on this machine, in memory, and later on a cluster. No rule lives here."""
