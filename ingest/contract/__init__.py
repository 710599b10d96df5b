"""What leaves ingest, where it was left, and how to connect to that place. Import the modules; nothing is re-exported."""
