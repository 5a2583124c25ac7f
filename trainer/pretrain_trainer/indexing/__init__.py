"""`pretrain index`: an index and a manifest for WebDataset tars that others wrote.

Tars are read once, from beginning to end, and never changed. What is in the members is not judged here, except as far as
an index needs it (the headers of arrays).
"""
