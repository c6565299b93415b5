-- Relays read the outbox from a position on, below which no row is left: while an old snapshot is held, no deleted row can
-- be vacuumed, and without a position each round would walk past all of them (decision 36).
--
-- The position is the transaction that wrote the row last. Once no transaction before X is running, no row can appear
-- below X.
ALTER TABLE outbox ADD COLUMN position bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint;

-- Set while an event is in backoff. Events that were never retried are read by their position, like mails.
ALTER TABLE outbox ALTER COLUMN due_at DROP DEFAULT;
ALTER TABLE outbox ALTER COLUMN due_at DROP NOT NULL;
