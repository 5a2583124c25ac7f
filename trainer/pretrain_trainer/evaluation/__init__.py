"""Figures of a trained model on held-out text or images, and of simple baselines on the same.

No training and no report pages here.
"""
