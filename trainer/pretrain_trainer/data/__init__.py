"""The data plane: which documents are held out, how shards are written, in which order samples come and how they are read.

No model and no torch in here: arrays are NumPy's.
"""
