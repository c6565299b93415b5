-- no transaction
DROP INDEX CONCURRENTLY IF EXISTS outbox_codes_by_position;
CREATE INDEX CONCURRENTLY outbox_codes_by_position ON outbox (position) WHERE NOT message ? 'specversion' AND NOT is_notice;
DROP INDEX CONCURRENTLY IF EXISTS outbox_notices_by_position;
CREATE INDEX CONCURRENTLY outbox_notices_by_position ON outbox (position) WHERE is_notice;
DROP INDEX CONCURRENTLY IF EXISTS outbox_events_by_position;
CREATE INDEX CONCURRENTLY outbox_events_by_position ON outbox (position) WHERE message ? 'specversion' AND due_at IS NULL;
DROP INDEX CONCURRENTLY IF EXISTS outbox_events_by_due_time;
CREATE INDEX CONCURRENTLY outbox_events_by_due_time ON outbox (due_at) WHERE due_at IS NOT NULL;
