"""TimescaleDB rows and live frames -> metrics, alarms, API and the page. The routes are joined in `app.py`."""
