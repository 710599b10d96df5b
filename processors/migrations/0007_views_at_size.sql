-- Two views with 20,000 letters and 3,000 lives of gateways in them; what they say is as before.

-- See 0003. A fifth of the time out of 20,000 letters.
CREATE OR REPLACE VIEW city_view.device_clocks AS
WITH newest_letters AS (
    SELECT reason, detail, received, readings FROM city.dead_letters
    WHERE reason IN ('in_future', 'too_old') ORDER BY letter_id DESC LIMIT 20000
), letters AS MATERIALIZED (  -- each expression once; the pattern that knows escapes only where there is one
    SELECT CASE WHEN position('\' IN detail) > 0
                THEN replace(replace(substring(detail FROM '^"((?:[^"\\]|\\.)*)" '), '\"', '"'), '\\', '\')
                WHEN left(detail, 1) = '"' AND left(split_part(detail, '"', 3), 1) = ' ' THEN split_part(detail, '"', 2) END AS device,
           reason, received, readings,
           substring(split_part(detail, ' at ', -1) FROM '^-?[0-9]{1,19}(?= us)')::double precision / 1000000
               - extract(epoch FROM received)::double precision AS offset_s
    FROM newest_letters
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

-- See 0001.
CREATE OR REPLACE VIEW city_view.ledger AS
WITH arrived AS (
    SELECT gateway, epoch, sum(n_in) AS n_in, sum(n_stored) AS n_stored, sum(n_duplicate) AS n_duplicate, sum(n_dead) AS n_dead,
           sum(n_refused) AS n_refused, sum(n_redelivered) AS n_redelivered, max(last_frame_at) AS last_frame_at
    FROM city.ledger GROUP BY gateway, epoch
), missing AS (
    SELECT gateway, epoch, sum(readings) AS readings FROM city.ledger_gaps GROUP BY gateway, epoch
), acked AS MATERIALIZED (  -- else the planner takes 3,000 lives for 40 and looks each partition up by itself
    SELECT g.gateway, g.epoch, p.topic, p.partition, p.acked, p."offset"
    FROM city.gateway_statements g
    CROSS JOIN LATERAL jsonb_to_recordset(g.partitions) AS p(topic text, partition int, acked bigint, "offset" bigint)
), tail AS (
    SELECT a.gateway, a.epoch, sum(greatest(0, a.acked - coalesce(l.sent_before, 0))) AS readings
    FROM acked a
    JOIN city.offsets o ON o.topic = a.topic AND o.partition = a.partition AND o.next_offset > a."offset"
    LEFT JOIN city.ledger l ON l.gateway = a.gateway AND l.epoch = a.epoch AND l.topic = a.topic AND l.partition = a.partition
    GROUP BY a.gateway, a.epoch
), lives AS (
    SELECT gateway, epoch FROM arrived UNION SELECT gateway, epoch FROM city.gateway_statements
), newest AS (
    SELECT gateway, max(epoch) AS epoch FROM lives GROUP BY gateway
), joined AS (
    SELECT v.gateway, v.epoch, v.epoch = n.epoch AS open,
           coalesce(a.n_in, 0)::bigint AS arrived, coalesce(a.n_stored, 0)::bigint AS stored, coalesce(a.n_duplicate, 0)::bigint AS duplicate,
           coalesce(a.n_dead, 0)::bigint AS dead_letter, (coalesce(a.n_refused, 0) + coalesce(s.refused, 0))::bigint AS refused,
           coalesce(a.n_redelivered, 0)::bigint AS redelivered,
           (coalesce(m.readings, 0) + coalesce(t.readings, 0))::bigint AS unaccounted,
           coalesce(s.refused, 0)::bigint AS refused_by_gateway,
           CASE WHEN v.epoch = n.epoch THEN coalesce(s.received, 0)
                ELSE coalesce(s.acked_kafka, 0) + coalesce(s.spooled, 0) + coalesce(s.refused, 0) END AS said,
           coalesce(s.spooled, 0) AS spooled, coalesce(s.messages, 0) AS messages, greatest(s.at, a.last_frame_at) AS last_seen
    FROM lives v JOIN newest n ON n.gateway = v.gateway
    LEFT JOIN arrived a ON a.gateway = v.gateway AND a.epoch = v.epoch
    LEFT JOIN city.gateway_statements s ON s.gateway = v.gateway AND s.epoch = v.epoch
    LEFT JOIN missing m ON m.gateway = v.gateway AND m.epoch = v.epoch
    LEFT JOIN tail t ON t.gateway = v.gateway AND t.epoch = v.epoch
)
SELECT gateway, epoch, open, greatest(said, arrived + refused_by_gateway + unaccounted)::bigint AS received, stored, duplicate, dead_letter,
       refused, (greatest(said, arrived + refused_by_gateway + unaccounted) - arrived - refused_by_gateway - unaccounted)::bigint AS in_flight,
       unaccounted, redelivered, spooled, messages, last_seen
FROM joined;
