"""The report of a run: what the stages recorded, gathered into one JSON file and one self-contained page.

No torch here, and nothing that changes a run: a report can be made of one that failed or still works.
"""
