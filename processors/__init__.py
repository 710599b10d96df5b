"""Kafka frames -> windows and conditions -> TimescaleDB rows, in one transaction with the offsets. The route is `pipeline.py`."""
