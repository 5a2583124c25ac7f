"""`torchx run -s pretrain`: PretrainJobs by TorchX. Only this package imports torchx, and only torchx imports this package.

The entry points in pyproject.toml name it, beside TorchX's own schedulers and components, which would vanish otherwise.
"""
