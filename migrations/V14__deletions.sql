-- Accounts that were deleted, until their owner is notified: the mail needs the address, and nothing else has it any more. A row is
-- deleted when a mail server has accepted the mail, or a week after the deletion.
CREATE TABLE account_deletions (
    -- The id of the message.
    id         uuid        NOT NULL CONSTRAINT account_deletions_pkey PRIMARY KEY,
    email      text        NOT NULL,
    language   text        NOT NULL,
    deleted_at timestamptz NOT NULL
);

-- For the cleanup, and for `api outbox reemit`.
CREATE INDEX account_deletions_by_time ON account_deletions (deleted_at, id);
