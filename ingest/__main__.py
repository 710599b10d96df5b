"""`python -m ingest` is `citynerve ingest`."""

from ingest.commands import ingest

if __name__ == "__main__":
    ingest()
