"""Every rule about a job: pure functions from what is wanted, recorded and seen to what should be done.

No I/O, no clock, no client, no logging: callers pass the time in and carry the plan out.
"""
