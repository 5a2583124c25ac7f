"""What Prepare does to documents: rules that remove, rules that rewrite, and deduplication.

A rule sees text and settings, never files; every removed document is counted under the one rule that removed it.
"""
