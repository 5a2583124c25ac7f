"""The checks of `pretrain doctor`: what is read from a cluster here, what it means, and how it is shown.

A store and a machine are tried by the trainer's program `pretrain_trainer.diagnosing`; no torch here.
"""
