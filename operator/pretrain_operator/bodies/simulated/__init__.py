"""The simulated body: the plan carried out in memory under a clock of its own, with faults on request.

It implements the same Protocol as the others and is used to study the rules, in tests and on schedules of faults.
"""
