"""The commands' view of a cluster. Everything here is imported by the commands that need it, never at start.

Pure: table, description, pods, log_lines, waiting, submission, fleet. Talking to an API server: connection, jobs, applying,
known, watching, log_streams, followed. No kubernetes client outside of connection.
"""
