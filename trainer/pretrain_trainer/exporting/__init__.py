"""The forms in which a trained model leaves a run. Knows nothing of training and of reports."""
