-- See 0003 and 0007: the moment is cut out of a letter's words without a pattern, which was two thirds of the time.
CREATE OR REPLACE VIEW city_view.device_clocks AS
WITH newest_letters AS (
    SELECT reason, detail, received, readings FROM city.dead_letters
    WHERE reason IN ('in_future', 'too_old') ORDER BY letter_id DESC LIMIT 20000
), letters AS MATERIALIZED (  -- each expression once; the pattern that knows escapes only where there is one
    SELECT CASE WHEN position('\' IN detail) > 0
                THEN replace(replace(substring(detail FROM '^"((?:[^"\\]|\\.)*)" '), '\"', '"'), '\\', '\')
                WHEN left(detail, 1) = '"' AND left(split_part(detail, '"', 3), 1) = ' ' THEN split_part(detail, '"', 2) END AS device,
           reason, received, readings,
           CASE WHEN translate(ltrim(said, '-'), '0123456789', '') = '' AND position('-' IN substr(said, 2)) = 0
                     AND length(said) BETWEEN 1 AND 20 AND said <> '-'
                THEN said::double precision / 1000000 - extract(epoch FROM received)::double precision END AS offset_s
    FROM newest_letters CROSS JOIN LATERAL (SELECT split_part(split_part(detail, ' at ', -1), ' us', 1) AS said OFFSET 0) word
), refused AS (
    SELECT device, percentile_cont(0.5) WITHIN GROUP (ORDER BY offset_s) AS offset_s, sum(readings)::bigint AS readings,
           min(received) AS first_seen, max(received) AS last_seen
    FROM letters WHERE device IS NOT NULL AND offset_s IS NOT NULL GROUP BY device
    -- an old reading may be one that waited on the device, or comes again and again; a clock is wrong where it goes on and stays as far
    -- behind, or where it is behind by years
    HAVING bool_or(reason = 'in_future') OR min(offset_s) < -300 * 86400
        OR (count(*) >= 3 AND max(received) - min(received) >= interval '1 minute'
            AND max(offset_s) - min(offset_s) <= least(600, extract(epoch FROM max(received) - min(received)) / 2))
)
SELECT r.device, CASE WHEN r.offset_s > 0 THEN 'ahead' ELSE 'behind' END AS kind, r.offset_s, r.readings, 0::bigint AS stored,
       r.first_seen, r.last_seen
FROM refused r
LEFT JOIN city.devices d ON d.device = r.device
WHERE NOT EXISTS (
    SELECT FROM city.series s CROSS JOIN LATERAL
        (SELECT time, flags FROM city.readings WHERE series_id = s.series_id ORDER BY time DESC LIMIT 1) newest
    WHERE s.device_id = d.device_id AND newest.time > r.last_seen AND newest.flags & 36 = 0)
UNION ALL
SELECT d.device, c.kind, CASE WHEN c.kind = 'behind' THEN c.offset_s END, c.readings, c.readings, c.first_seen, c.last_seen
FROM city.device_clocks c
JOIN city.devices d USING (device_id)
WHERE (c.kind = 'unset' OR (c.sightings >= 3 AND c.steady_to - c.steady_from >= interval '2 minutes'))
  AND NOT EXISTS (
    SELECT FROM city.series s CROSS JOIN LATERAL
        (SELECT time, flags FROM city.readings WHERE series_id = s.series_id ORDER BY time DESC LIMIT 1) newest
    WHERE s.device_id = c.device_id AND newest.flags & CASE WHEN c.kind = 'behind' THEN 4 ELSE 32 END = 0);
