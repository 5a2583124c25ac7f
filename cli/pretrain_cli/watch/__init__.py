"""The full-screen view of one job: where its news come from, what is kept of them, and how they are drawn.

`app` alone knows textual; sources know nothing of a screen.
"""
