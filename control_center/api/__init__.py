"""The HTTP API, one resource a file. No SQL and no alarm rules here: queries.py reads, alarms/ decides."""
