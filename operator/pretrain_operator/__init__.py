"""The brain that decides and the bodies that act. No torch here, and nothing from the trainer."""
