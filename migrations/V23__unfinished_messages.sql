-- Mails that a worker gave back without an outcome, or that may be lost: neither finished by a worker, nor in the outbox, nor
-- waiting in their queue.
CREATE TABLE unfinished_messages (
    id            uuid        NOT NULL CONSTRAINT unfinished_messages_pkey PRIMARY KEY,
    kind          text        NOT NULL,
    -- When it was last known to be on its way: a worker gave it back, or it was published again.
    seen_at       timestamptz NOT NULL,
    -- Since when it is missing.
    missing_since timestamptz,
    -- How often it was published again.
    rescues       smallint    NOT NULL DEFAULT 0
);

CREATE INDEX unfinished_messages_on_their_way ON unfinished_messages (seen_at, id) WHERE missing_since IS NULL;
CREATE INDEX unfinished_messages_missing ON unfinished_messages (missing_since) WHERE missing_since IS NOT NULL;

-- The rounds of the search for lost messages, which all APIs share.
CREATE TABLE rescue_rounds (
    only_row               boolean     NOT NULL DEFAULT true CONSTRAINT rescue_rounds_pkey PRIMARY KEY CHECK (only_row),
    began_at               timestamptz NOT NULL,
    ended_at               timestamptz NOT NULL,
    -- Since when one round follows the other.
    continuous_since       timestamptz NOT NULL,
    -- Codes that have expired before this are not searched any more.
    codes_searched_until   timestamptz NOT NULL,
    -- Of all earlier notices, those that are not finished are in unfinished_messages.
    notices_searched_until timestamptz NOT NULL
);

-- Earlier notices are for the command `api outbox reemit`.
INSERT INTO rescue_rounds (began_at, ended_at, continuous_since, codes_searched_until, notices_searched_until)
VALUES (now(), now(), now(), now(), now() - interval '1 hour');
