"""A believable city on MQTT, and the replay of recorded days. Knows ingest's contract, never a decoder."""
