"""Documents of any origin: finding files, reading their records within a memory bound, writing and reading parts.

Knows nothing of filters, tokenizers and training.
"""
