-- The fleet: quarters of an hour and hours summed over all series of a metric, a kind of device and a district, so that a panel of a month
-- over a whole city reads thousands of rows instead of millions. They follow the windows within seconds (processors/fleet.py).
-- Stop the processors before this migration: one of the older program would write windows that nobody marks. What is stored already is
-- summed when the new processors run, the newest first: about a minute for a month of 10,000 series.

-- count: readings. total: sum of mean * count. energy: sum of count * 10^(special / 10), for metrics whose special is a level in dB.
-- came: readings that came of those expected, of series that measure at least every 15 minutes. Numbers that a double cannot hold in such
-- a sum are cut off at 1e290 and 1e-300. width_s: seconds of which there is a window.
CREATE TABLE city.fleet_15m (
    start timestamptz NOT NULL,
    metric text NOT NULL,
    kind text NOT NULL,
    district text NOT NULL,
    width_s int NOT NULL,
    windows bigint NOT NULL,
    count bigint NOT NULL,
    total double precision NOT NULL,
    energy double precision,
    min double precision NOT NULL,
    max double precision NOT NULL,
    came bigint NOT NULL,
    PRIMARY KEY (start, metric, kind, district)
);
CREATE TABLE city.fleet_1h (LIKE city.fleet_15m INCLUDING ALL);

-- Quarters whose sums are not those of the windows any more. Whoever writes windows_15m adds a row in the same transaction; there is no
-- key, so that no processor waits for another. until null: up to the newest window.
CREATE TABLE city.fleet_marks (
    first timestamptz NOT NULL,
    until timestamptz,
    at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO city.fleet_marks (first, until)
    SELECT range_start, range_end FROM timescaledb_information.chunks WHERE hypertable_schema = 'city' AND hypertable_name = 'windows_15m';

-- A device that changes its district or kind takes its past with it, as it does where windows are joined with devices.
CREATE FUNCTION city.mark_moved_device() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO city.fleet_marks (first)
        SELECT min(oldest.start) FROM city.series s CROSS JOIN LATERAL
            (SELECT start FROM city.windows_15m WHERE series_id = s.series_id ORDER BY start LIMIT 1) oldest
        WHERE s.device_id = NEW.device_id HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER mark_moved_device AFTER UPDATE OF kind, district ON city.devices FOR EACH ROW
    WHEN (OLD.kind <> NEW.kind OR OLD.district <> NEW.district) EXECUTE FUNCTION city.mark_moved_device();

CREATE VIEW city_view.fleet_15m AS
    SELECT start AS time, metric, kind, district, width_s, windows, count, total, energy, min, max, came FROM city.fleet_15m;
CREATE VIEW city_view.fleet_1h AS
    SELECT start AS time, metric, kind, district, width_s, windows, count, total, energy, min, max, came FROM city.fleet_1h;
