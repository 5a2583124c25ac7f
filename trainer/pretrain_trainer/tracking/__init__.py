"""A run's steps for the tools in which people compare runs: TensorBoard, Weights & Biases, MLflow.

They are read from the run's commits, so training itself knows nothing of trackers, and each tool gets each step that stands
once. A new tool is a module with a `Tracker` and a line in `__main__`.
"""
