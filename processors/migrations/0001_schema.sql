-- Schema of CityNerve. Forward only: a change is a new file. Run by `citynerve migrate` in one transaction, recorded in city.migrations.
CREATE SCHEMA IF NOT EXISTS city;
CREATE SCHEMA IF NOT EXISTS city_view;

-- devices: registered by `citynerve devices import` or created by the first reading
CREATE TABLE city.devices (
    device_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device text NOT NULL UNIQUE CHECK (octet_length(device) BETWEEN 1 AND 200),
    name text NOT NULL DEFAULT '',
    kind text NOT NULL DEFAULT 'unknown',          -- air_quality, noise, traffic, water_level, street_light, weather, ...
    district text NOT NULL DEFAULT '',
    latitude double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude double precision CHECK (longitude BETWEEN -180 AND 180),
    expected_interval_s int CHECK (expected_interval_s > 0),   -- null: the metric's own
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE city.series (
    series_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id int NOT NULL REFERENCES city.devices,
    metric text NOT NULL,
    unit text NOT NULL,
    mean_kind smallint NOT NULL DEFAULT 0,         -- ingest.contract.sensor_kinds.Mean
    interval_s int NOT NULL CHECK (interval_s > 0),
    partition smallint NOT NULL,                   -- the Kafka partition that owns the series
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (device_id, metric)
);

CREATE TABLE city.readings (
    series_id int NOT NULL,
    time timestamptz NOT NULL,
    value double precision NOT NULL CHECK (value > '-infinity' AND value < 'infinity'),
    flags int NOT NULL DEFAULT 0,                  -- bits: ingest.contract.reading.Flag
    PRIMARY KEY (series_id, time)
);
SELECT create_hypertable('city.readings', 'time', chunk_time_interval => interval '1 day', create_default_indexes => false);

-- One row per series and window. Every number is a function of the stored readings, except revision and late (they tell the order of arrival).
-- sketch: serialised quantile sketch (1 % relative error), so that coarser windows are merged from 1m; sum_sin/sum_cos: circular metrics only.
-- special: Leq (energetic), circular mean (degrees), increase (counter).
CREATE TABLE city.windows_1m (
    series_id int NOT NULL,
    start timestamptz NOT NULL,
    count int NOT NULL CHECK (count > 0),
    mean double precision NOT NULL,
    min double precision NOT NULL,
    max double precision NOT NULL,
    std double precision NOT NULL CHECK (std >= 0),            -- population standard deviation
    first double precision NOT NULL,
    last double precision NOT NULL,
    p50 double precision NOT NULL,
    p95 double precision NOT NULL,
    p99 double precision NOT NULL,
    special double precision,
    expected int NOT NULL,                                     -- window length / expected interval, at least 1
    valid int NOT NULL,                                        -- readings without a flag of FLAGGED_MASK
    late int NOT NULL,                                         -- readings that came after the window had closed
    flagged int NOT NULL,
    revision int NOT NULL DEFAULT 0,                           -- 0 at first writing, +1 at each revision by late data
    first_time timestamptz NOT NULL,
    last_time timestamptz NOT NULL,
    sum_sin double precision,
    sum_cos double precision,
    sketch bytea NOT NULL,
    PRIMARY KEY (series_id, start),
    CHECK (valid + flagged = count)
);
CREATE TABLE city.windows_15m (LIKE city.windows_1m INCLUDING ALL);
CREATE TABLE city.windows_1h (LIKE city.windows_1m INCLUDING ALL);
CREATE TABLE city.windows_1d (LIKE city.windows_1m INCLUDING ALL);
SELECT create_hypertable('city.windows_1m', 'start', chunk_time_interval => interval '1 day', create_default_indexes => false);
SELECT create_hypertable('city.windows_15m', 'start', chunk_time_interval => interval '7 days', create_default_indexes => false);
SELECT create_hypertable('city.windows_1h', 'start', chunk_time_interval => interval '30 days', create_default_indexes => false);
SELECT create_hypertable('city.windows_1d', 'start', chunk_time_interval => interval '365 days', create_default_indexes => false);

-- The cursor. Claimed by a random owner token, moved only under that token and the expected offset, in the transaction of the rows.
CREATE TABLE city.offsets (
    topic text NOT NULL,
    partition int NOT NULL,
    owner uuid NOT NULL,
    owner_name text NOT NULL DEFAULT '',
    next_offset bigint NOT NULL,
    watermark timestamptz,                         -- event time up to which the partition is believed complete
    closed_until timestamptz,                      -- 1m windows before this are written; later ones are rebuilt from readings by a new owner
    state bytea,
    n_in bigint NOT NULL DEFAULT 0,
    n_stored bigint NOT NULL DEFAULT 0,
    n_duplicate bigint NOT NULL DEFAULT 0,
    n_dead bigint NOT NULL DEFAULT 0,
    n_refused bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition),
    CHECK (n_in = n_stored + n_duplicate + n_dead + n_refused)
);

-- The ledger: what arrived of one life (epoch) of one gateway on one partition, and what became of it.
CREATE TABLE city.ledger (
    gateway text NOT NULL,
    epoch bigint NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    next_seq bigint NOT NULL,                      -- frames 0..next_seq-1 were seen, except those in ledger_gaps
    sent_before bigint NOT NULL,                   -- readings in frames 0..next_seq-1 by the gateway's own count
    n_in bigint NOT NULL DEFAULT 0,
    n_stored bigint NOT NULL DEFAULT 0,
    n_duplicate bigint NOT NULL DEFAULT 0,
    n_dead bigint NOT NULL DEFAULT 0,
    n_refused bigint NOT NULL DEFAULT 0,
    n_redelivered bigint NOT NULL DEFAULT 0,       -- readings of frames seen twice: told apart, counted nowhere else
    last_frame_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (gateway, epoch, topic, partition),
    CHECK (n_in = n_stored + n_duplicate + n_dead + n_refused)
);

-- frames a gateway numbered that never came (yet): each is unaccounted until it arrives
CREATE TABLE city.ledger_gaps (
    gateway text NOT NULL,
    epoch bigint NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    from_seq bigint NOT NULL,
    to_seq bigint NOT NULL,                        -- inclusive
    sent_before bigint NOT NULL,                   -- readings in frames 0..from_seq-1: what splits a gap exactly when a part of it arrives
    readings bigint NOT NULL CHECK (readings >= 0),
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (gateway, epoch, topic, partition, from_seq),
    CHECK (from_seq <= to_seq)
);

-- offsets that Kafka no longer had when the cursor came to them (retention passed it). What was lost there shows in ledger_gaps too,
-- as soon as a later frame of the same gateway arrives
CREATE TABLE city.offset_gaps (
    topic text NOT NULL,
    partition int NOT NULL,
    from_offset bigint NOT NULL,
    to_offset bigint NOT NULL,                     -- inclusive
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, from_offset),
    CHECK (from_offset <= to_offset)
);

-- the gateways' own statements, about one a second while anything moves (topic custody)
CREATE TABLE city.gateway_statements (
    gateway text NOT NULL,
    epoch bigint NOT NULL,
    at timestamptz NOT NULL,
    received bigint NOT NULL,                      -- readings taken from the broker (an undecodable payload counts 1)
    refused bigint NOT NULL,                       -- refused with a counted reason and no dead letter
    acked_kafka bigint NOT NULL,                   -- readings and dead letters Kafka has acknowledged
    spooled bigint NOT NULL,                       -- of those received: in the disk spool now
    messages bigint NOT NULL,                      -- MQTT messages received
    partitions jsonb NOT NULL DEFAULT '[]',        -- [{"topic","partition","acked","offset"}]: acked readings and the last acked offset
    PRIMARY KEY (gateway, epoch)
);

CREATE TABLE city.dead_letters (
    letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway text NOT NULL,
    epoch bigint NOT NULL,
    partition int NOT NULL,
    seq bigint NOT NULL,
    ordinal int NOT NULL,
    received timestamptz NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    mqtt_topic text NOT NULL,
    payload bytea NOT NULL,
    readings int NOT NULL CHECK (readings >= 1),
    retried_at timestamptz,
    UNIQUE (gateway, epoch, partition, seq, ordinal)
);
CREATE INDEX dead_letters_by_time ON city.dead_letters (received DESC);

-- rules are written by the control center, read by processors
CREATE TABLE city.rules (
    rule_id text PRIMARY KEY,
    body jsonb NOT NULL,                           -- processors.contract.rules.Rule
    version bigint GENERATED ALWAYS AS IDENTITY,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- what processors judged, current state. subject: 'series:<series_id>' (threshold) or 'device:<device_id>' (absence)
CREATE TABLE city.conditions (
    rule_id text NOT NULL,
    subject text NOT NULL,
    partition int NOT NULL,
    active boolean NOT NULL,
    pending_since timestamptz,                     -- event time at which the raise condition first held (for-duration running)
    since timestamptz,                             -- event time of the last change of active
    value double precision,
    value_time timestamptz,
    PRIMARY KEY (rule_id, subject)
);

-- the outbox from processors to the control center: consumed (deleted) in the transaction that changes the alarm
CREATE TABLE city.condition_changes (
    change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id text NOT NULL,
    subject text NOT NULL,
    active boolean NOT NULL,
    at timestamptz NOT NULL,                       -- event time
    value double precision,
    detail jsonb NOT NULL DEFAULT '{}'             -- the values that raised or cleared it: threshold, column, window start, held for
);

CREATE TABLE city.alarms (
    alarm_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id text NOT NULL,
    subject text NOT NULL,
    device text NOT NULL,
    metric text,
    severity text NOT NULL CHECK (severity IN ('critical', 'warning', 'info')),
    state text NOT NULL CHECK (state IN ('raised', 'acknowledged', 'cleared')),
    raised_at timestamptz NOT NULL,                -- event time
    raised_value double precision,
    raised_detail jsonb NOT NULL DEFAULT '{}',
    acknowledged_at timestamptz,
    acknowledged_by text,
    cleared_at timestamptz,
    cleared_value double precision,
    cleared_detail jsonb,
    notified text NOT NULL DEFAULT 'no' CHECK (notified IN ('no', 'firing', 'resolved')),   -- the last state Alertmanager accepted
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((state = 'cleared') = (cleared_at IS NOT NULL))
);
CREATE UNIQUE INDEX alarms_one_open ON city.alarms (rule_id, subject) WHERE state <> 'cleared';
CREATE INDEX alarms_to_notify ON city.alarms (alarm_id) WHERE state <> 'cleared' OR notified <> 'resolved';
CREATE INDEX alarms_by_time ON city.alarms (raised_at DESC, alarm_id DESC);

CREATE TABLE city.alarm_events (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm_id bigint NOT NULL REFERENCES city.alarms,
    at timestamptz NOT NULL DEFAULT now(),
    event text NOT NULL CHECK (event IN ('raised', 'acknowledged', 'cleared', 'notified', 'notify_failed')),
    by_whom text NOT NULL DEFAULT 'citynerve',
    detail jsonb NOT NULL DEFAULT '{}',
    published_at timestamptz                       -- null: not yet in the topic alarms.v1 (outbox)
);
CREATE INDEX alarm_events_to_publish ON city.alarm_events (event_id) WHERE published_at IS NULL;
CREATE INDEX alarm_events_by_alarm ON city.alarm_events (alarm_id, event_id);

-- Views for operators' SQL, Grafana and other tools. Columns are only ever added.
CREATE VIEW city_view.series AS
    SELECT s.series_id, d.device, d.name, d.kind, d.district, d.latitude, d.longitude, s.metric, s.unit, s.mean_kind, s.interval_s
    FROM city.series s JOIN city.devices d USING (device_id);
CREATE VIEW city_view.devices AS
    SELECT device, name, kind, district, latitude, longitude, expected_interval_s, created_at FROM city.devices;
CREATE VIEW city_view.readings AS
    SELECT d.device, s.metric, s.unit, r.time, r.value, r.flags, r.series_id
    FROM city.readings r JOIN city.series s USING (series_id) JOIN city.devices d USING (device_id);
DO $views$
DECLARE size text;
BEGIN
    FOREACH size IN ARRAY ARRAY['1m', '15m', '1h', '1d'] LOOP
        EXECUTE format($sql$
            CREATE VIEW city_view.windows_%s AS
            SELECT d.device, d.kind, s.metric, s.unit, w.start AS time, w.count, w.mean, w.min, w.max, w.std, w.first, w.last,
                   w.p50, w.p95, w.p99, w.special, w.expected, w.valid, w.late, w.flagged, w.revision, w.series_id
            FROM city.windows_%s w JOIN city.series s USING (series_id) JOIN city.devices d USING (device_id)
        $sql$, size, size);
    END LOOP;
END
$views$;
CREATE VIEW city_view.alarms AS
    SELECT a.alarm_id, a.rule_id, a.device, d.name, d.district, d.latitude, d.longitude, a.metric, a.severity, a.state, a.raised_at,
           a.raised_value, a.raised_detail, a.acknowledged_at, a.acknowledged_by, a.cleared_at, a.cleared_value, a.cleared_detail, s.unit
    FROM city.alarms a LEFT JOIN city.devices d USING (device) LEFT JOIN city.series s ON s.device_id = d.device_id AND s.metric = a.metric;
CREATE VIEW city_view.rules AS
    SELECT rule_id, body->>'kind' AS kind, body->>'severity' AS severity, body->>'metric' AS metric, body->>'title_en' AS title_en,
           body->>'title_vi' AS title_vi, body->>'advice_en' AS advice_en, body->>'advice_vi' AS advice_vi,
           coalesce((body->>'enabled')::boolean, true) AS enabled, updated_at
    FROM city.rules;

-- The ledger as one row per life of a gateway.
-- received: the gateway's own count, or what arrived where its last words are older than its last frame (kill -9).
-- A life is open while it is the gateway's newest. What a closed life had received but not acknowledged to the broker is delivered
-- again by the broker to the next life and counted there, so it is in flight nowhere.
-- unaccounted: readings in frames that the gateway numbered and that did not come although a later frame of the partition did, or
-- although the cursor has passed the offset at which Kafka acknowledged them.
CREATE VIEW city_view.ledger AS
WITH arrived AS (
    SELECT gateway, epoch, sum(n_in) AS n_in, sum(n_stored) AS n_stored, sum(n_duplicate) AS n_duplicate, sum(n_dead) AS n_dead,
           sum(n_refused) AS n_refused, sum(n_redelivered) AS n_redelivered, max(last_frame_at) AS last_frame_at
    FROM city.ledger GROUP BY gateway, epoch
), missing AS (
    SELECT gateway, epoch, sum(readings) AS readings FROM city.ledger_gaps GROUP BY gateway, epoch
), tail AS (
    SELECT g.gateway, g.epoch, sum(greatest(0, p.acked - coalesce(l.sent_before, 0))) AS readings
    FROM city.gateway_statements g
    CROSS JOIN LATERAL jsonb_to_recordset(g.partitions) AS p(topic text, partition int, acked bigint, "offset" bigint)
    JOIN city.offsets o ON o.topic = p.topic AND o.partition = p.partition AND o.next_offset > p."offset"
    LEFT JOIN city.ledger l ON l.gateway = g.gateway AND l.epoch = g.epoch AND l.topic = p.topic AND l.partition = p.partition
    GROUP BY g.gateway, g.epoch
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
