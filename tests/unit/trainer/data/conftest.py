"""Hypothesis without a deadline: on a busy machine a case may take long by itself."""

from hypothesis import settings

settings.register_profile("data", deadline=None)
settings.load_profile("data")
