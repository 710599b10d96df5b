-- Devices whose clock is wrong, from what is stored: letters refused for their time, and readings that are always late by the same amount.

CREATE INDEX dead_letters_of_clocks ON city.dead_letters (letter_id) WHERE reason IN ('in_future', 'too_old');

-- Written by processors for devices whose newest reading of a batch is late, or has no clock. offset_s: event time less the newest of the
-- device's partition, so that a replayed day says what the live one did. A device that delivers what it had buffered is late by less and
-- less; one whose clock is wrong by the same amount again and again: steady_from is the first of an unbroken row of such sightings.
CREATE TABLE city.device_clocks (
    device_id int NOT NULL REFERENCES city.devices,
    kind text NOT NULL CHECK (kind IN ('behind', 'unset')),
    offset_s double precision NOT NULL,
    readings bigint NOT NULL,
    sightings int NOT NULL DEFAULT 1,
    steady_from timestamptz NOT NULL,              -- event time of the partition
    steady_to timestamptz NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, kind)
);

-- kind: ahead, behind, or unset (the device believes it is 1970; the time of receipt stands in). offset_s: the device's clock less the
-- right one, null where it is unset. A device leaves the list with its first reading that is right.
CREATE VIEW city_view.device_clocks AS
WITH newest_letters AS (
    SELECT reason, detail, received, readings FROM city.dead_letters
    WHERE reason IN ('in_future', 'too_old') ORDER BY letter_id DESC LIMIT 20000
), letters AS (
    SELECT replace(replace(substring(detail FROM '^"((?:[^"\\]|\\.)*)" '), '\"', '"'), '\\', '\') AS device, reason, received, readings,
           substring(detail FROM '^.* at (-?[0-9]{1,19}) us')::numeric / 1000000 - extract(epoch FROM received) AS offset_s
    FROM newest_letters
), refused AS (
    SELECT device, percentile_cont(0.5) WITHIN GROUP (ORDER BY offset_s::double precision) AS offset_s, sum(readings)::bigint AS readings,
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
