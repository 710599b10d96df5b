"""Alarms: rules.py (what is wrong), lifecycle.py (what may happen to an alarm), store.py, publish.py, notify.py, joined in pipeline.py."""
