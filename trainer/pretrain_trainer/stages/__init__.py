"""The stages, one module each: `run(context)`, and `inputs(context)` where outside things decide the result.

Only what a stage does in order lives here; its machinery has a package of its own beside this one.
"""
