-- Why offsets were left out, and how many readings were in them.

-- reason: 'retention' (the log's beginning passed the cursor), 'damaged' (no replica had the batch whole), 'recreated' (the topic was
-- deleted and made anew: how far the old one went nobody knows any more, to_offset is null). readings: what the first batch behind
-- the gap showed to be missing; null until it came, and where nothing but custody statements were in the gap.
ALTER TABLE city.offset_gaps
    ADD COLUMN reason text NOT NULL DEFAULT 'retention' CHECK (reason IN ('retention', 'damaged', 'recreated')),
    ADD COLUMN readings bigint CHECK (readings >= 0),
    ALTER COLUMN to_offset DROP NOT NULL,
    ADD CHECK ((to_offset IS NULL) = (reason = 'recreated'));
ALTER TABLE city.offset_gaps ALTER COLUMN reason DROP DEFAULT;

CREATE VIEW city_view.offset_gaps AS
    SELECT topic, partition, from_offset, to_offset, reason, readings, seen_at FROM city.offset_gaps;
