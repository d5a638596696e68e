-- Which agent made a call, which tools it used, and by which keys later calls are known to go on from it.
ALTER TABLE request_response_rmt
    ADD COLUMN IF NOT EXISTS session_source LowCardinality(String),
    ADD COLUMN IF NOT EXISTS agent_program LowCardinality(String),
    ADD COLUMN IF NOT EXISTS agent_session_id String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS agent_id String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS parent_agent_id String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS agent_name LowCardinality(String),
    ADD COLUMN IF NOT EXISTS trace_id String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS span_id String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS tool_uses String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS thread_keys Array(UInt64) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS thread_follows Array(UInt64) CODEC(ZSTD(1));

ALTER TABLE request_response_rmt
    ADD INDEX IF NOT EXISTS thread_key_index thread_keys TYPE bloom_filter(0.01) GRANULARITY 1;
