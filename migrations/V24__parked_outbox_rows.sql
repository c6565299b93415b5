-- How often the row could not be read, or its delivery panicked.
ALTER TABLE outbox ADD COLUMN failures smallint NOT NULL DEFAULT 0;

-- Rows that failed too often, until an operator requeues or drops them.
CREATE TABLE parked_outbox_rows (
    id          uuid        NOT NULL CONSTRAINT parked_outbox_rows_pkey PRIMARY KEY,
    message     jsonb       NOT NULL,
    traceparent text,
    is_notice   boolean     NOT NULL,
    created_at  timestamptz NOT NULL,
    why         text        NOT NULL,
    parked_at   timestamptz NOT NULL
);

CREATE INDEX parked_outbox_rows_by_time ON parked_outbox_rows (parked_at);
