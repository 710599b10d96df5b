"""MQTT message -> readings -> Kafka frames. The route, step by step, is `pipeline.py`; what leaves this stage is `contract/`."""
