"""The dashboards, one file each."""

from monitoring.boards import data, fleet, job, operator, recovery

BOARDS = (fleet.BOARD, job.BOARD, data.BOARD, recovery.BOARD, operator.BOARD)
