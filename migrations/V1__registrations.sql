-- A person who wants in appends a registration; a user is born when one of them is activated.
-- Rules (how long, how many) live in the code; the tables hold facts. Every constraint whose violation
-- is somebody's answer has a name, and that name is part of the code.

CREATE TABLE registrations (
    id              uuid        NOT NULL CONSTRAINT registrations_pkey PRIMARY KEY,
    email           text        NOT NULL,
    password_hash   text        NOT NULL,
    idempotency_key text        CONSTRAINT registrations_idempotency_key_unique UNIQUE,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    activated_at    timestamptz,
    closed_at       timestamptz
);

-- Every request about an address looks for its open registrations.
CREATE INDEX registrations_open_by_email ON registrations (email, created_at)
    WHERE activated_at IS NULL AND closed_at IS NULL;

CREATE TABLE codes (
    id                uuid        NOT NULL CONSTRAINT codes_pkey PRIMARY KEY,
    registration_id   uuid        NOT NULL CONSTRAINT codes_registration_fkey REFERENCES registrations ON DELETE CASCADE,
    -- A keyed hash of digits that are themselves derived from the id. That of a decoy (for an address
    -- that has an account already) is random: a code nobody can know.
    code_hash         bytea       NOT NULL,
    key_id            text        NOT NULL,
    length            smallint    NOT NULL,
    attempts_allowed  smallint    NOT NULL,
    attempts          smallint    NOT NULL DEFAULT 0,
    -- The code lives `ttl_seconds` from the moment a mail server took it, but never beyond `deadline`.
    ttl_seconds       integer     NOT NULL,
    deadline          timestamptz NOT NULL,
    resend_at         timestamptz NOT NULL,
    created_at        timestamptz NOT NULL,
    sent_at           timestamptz,
    expires_at        timestamptz,
    consumed_at       timestamptz,
    superseded_at     timestamptz
);

-- A registration has one code that counts. The others are superseded.
CREATE UNIQUE INDEX codes_current ON codes (registration_id) WHERE superseded_at IS NULL;

-- The health check asks whether a code waits for its mail server too long: few ever do.
CREATE INDEX codes_waiting ON codes (deadline) WHERE sent_at IS NULL AND superseded_at IS NULL;

CREATE TABLE users (
    id            uuid        NOT NULL CONSTRAINT users_pkey PRIMARY KEY,
    email         text        NOT NULL CONSTRAINT users_email_unique UNIQUE,
    password_hash text        NOT NULL,
    activated_at  timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);

-- What the world must be told. A row is written in the transaction that makes it true, and goes when
-- somebody else has it safely. No index but the primary key's: the table is nearly always empty.
CREATE TABLE outbox (
    id           uuid        NOT NULL CONSTRAINT outbox_pkey PRIMARY KEY,
    message      jsonb       NOT NULL,
    traceparent  text,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    leased_until timestamptz
);

-- How each message ended.
CREATE TABLE deliveries (
    message_id uuid        NOT NULL CONSTRAINT deliveries_pkey PRIMARY KEY,
    outcome    text        NOT NULL CONSTRAINT deliveries_outcome_known
                           CHECK (outcome IN ('delivered', 'dropped', 'undeliverable')),
    why        text,
    at         timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What was used, by whom (under a keyed hash), when. Its row is also the lock of its subject.
CREATE TABLE budgets (
    subject bytea         NOT NULL,
    kind    text          NOT NULL,
    used_at timestamptz[] NOT NULL DEFAULT '{}',
    CONSTRAINT budgets_pkey PRIMARY KEY (subject, kind)
);
