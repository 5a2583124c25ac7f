"""What carries the brain's plan out: on this machine, in memory, on a cluster. No rule lives here."""
