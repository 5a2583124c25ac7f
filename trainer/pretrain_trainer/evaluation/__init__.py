"""Figures of a trained language model on held-out text, and of simple compressors on the same text.

No training and no report pages here.
"""
