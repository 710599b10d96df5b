-- What panels of a whole city read without joining the same tables twice.

DO $views$
DECLARE size text;
BEGIN
    FOREACH size IN ARRAY ARRAY['1m', '15m', '1h', '1d'] LOOP
        EXECUTE format($sql$
            CREATE OR REPLACE VIEW city_view.windows_%s AS
            SELECT d.device, d.kind, s.metric, s.unit, w.start AS time, w.count, w.mean, w.min, w.max, w.std, w.first, w.last,
                   w.p50, w.p95, w.p99, w.special, w.expected, w.valid, w.late, w.flagged, w.revision, w.series_id, d.district
            FROM city.windows_%s w JOIN city.series s USING (series_id) JOIN city.devices d USING (device_id)
        $sql$, size, size);
    END LOOP;
END
$views$;

-- Every series with the newest reading of its last seven days; time and value are null where there is none.
CREATE VIEW city_view.newest_readings AS
    SELECT s.series_id, d.device, d.name, d.kind, d.district, s.metric, s.unit, s.interval_s, newest.time, newest.value
    FROM city.series s JOIN city.devices d USING (device_id)
    LEFT JOIN LATERAL (
        SELECT time, value FROM city.readings r WHERE r.series_id = s.series_id AND r.time > now() - interval '7 days'
        ORDER BY r.time DESC LIMIT 1
    ) newest ON true;
