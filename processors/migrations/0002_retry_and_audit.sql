-- Dead letters that are retried, and the audit that holds the stored rows against what the processors say they stored.
-- Stop the processors before this migration: one of the older program would store rows that stored_by_day does not count.

-- A letter is claimed (retry_epoch) in the transaction that lays its frames into the outbox, and is done (retried_at) when Kafka has them.
ALTER TABLE city.dead_letters
    ADD COLUMN retry_epoch bigint,
    ADD COLUMN retried_readings int CHECK (retried_readings >= 0),   -- sent again under gateway 'retry'; null: not retried
    ADD CHECK (retried_at IS NULL OR retry_epoch IS NOT NULL);
CREATE INDEX dead_letters_claimed ON city.dead_letters (retry_epoch) WHERE retry_epoch IS NOT NULL;

-- The outbox: frames of gateway 'retry' that Kafka has not acknowledged. A crash between claim and send leaves them here, and the next
-- retry sends the very same bytes under the same numbers first.
CREATE TABLE city.retry_frames (
    epoch bigint NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    seq bigint NOT NULL,
    before bigint NOT NULL,
    count int NOT NULL CHECK (count > 0),
    received_us bigint NOT NULL,
    sent_us bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (epoch, topic, partition, seq)
);

-- Readings stored per UTC day of event time, moved in the transaction of the rows.
CREATE TABLE city.stored_by_day (
    day date NOT NULL,
    partition int NOT NULL,
    readings bigint NOT NULL CHECK (readings >= 0),
    PRIMARY KEY (day, partition)
);
LOCK TABLE city.readings IN SHARE MODE;
INSERT INTO city.stored_by_day (day, partition, readings)
    SELECT (r.time AT TIME ZONE 'UTC')::date, s.partition, count(*) FROM city.readings r JOIN city.series s USING (series_id) GROUP BY 1, 2;

-- The last audit of each day: what stored_by_day said and how many rows there were, in one snapshot.
CREATE TABLE city.ledger_audit (
    day date PRIMARY KEY,
    expected bigint NOT NULL,
    found bigint NOT NULL,
    removed bigint NOT NULL DEFAULT 0,             -- readings of chunks that were dropped whole (retention): gone on purpose, not missing
    at timestamptz NOT NULL
);
CREATE VIEW city_view.ledger_audit AS
    SELECT day, expected, found, removed, greatest(0, expected - removed - found) AS missing, greatest(0, found + removed - expected) AS doubled, at
    FROM city.ledger_audit;
