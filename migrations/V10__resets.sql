-- Who forgot the password of an address, or says so: a code is mailed that gives its account another one. Addresses
-- without an account have rows like all others, with a code that nobody can know.
CREATE TABLE resets (
    -- The receipt. Whoever holds it may guess, and nobody else.
    id               uuid        NOT NULL CONSTRAINT resets_pkey PRIMARY KEY,
    -- That of the code and of its message: it stands in mails and logs, so it is not the receipt.
    code_id          uuid        NOT NULL CONSTRAINT resets_code_unique UNIQUE,
    email            text        NOT NULL,
    -- The account that the code opens, if there was one. No foreign key: its check would lock the account's row, and
    -- an address that has none would be answered sooner.
    user_id          uuid,
    language         text        NOT NULL,
    -- The rest is as with codes.
    code_hash        bytea       NOT NULL,
    key_id           text        NOT NULL,
    length           smallint    NOT NULL,
    attempts_allowed smallint    NOT NULL,
    attempts         smallint    NOT NULL DEFAULT 0,
    ttl_seconds      integer     NOT NULL,
    deadline         timestamptz NOT NULL,
    resend_at        timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    sent_at          timestamptz,
    expires_at       timestamptz,
    used_at          timestamptz,
    -- The password was changed by other means: the code opens nothing any more, and its receipt does not tell.
    closed_at        timestamptz
);

-- Whoever is erased, and whoever changes a password, ends all of the address.
CREATE INDEX resets_by_email ON resets (email);

-- Housekeeping finds those that are over. It grows at its right end, and is never updated.
CREATE INDEX resets_by_deadline ON resets (deadline);

-- As with codes: few ever wait.
CREATE INDEX resets_waiting ON resets (deadline) WHERE sent_at IS NULL;

ALTER TABLE resets SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05);

-- A password was changed, and its owner is told: each time a message of its own.
CREATE TABLE password_changes (
    id         uuid        NOT NULL CONSTRAINT password_changes_pkey PRIMARY KEY,
    user_id    uuid        NOT NULL CONSTRAINT password_changes_user_fkey REFERENCES users ON DELETE CASCADE,
    changed_at timestamptz NOT NULL
);

CREATE INDEX password_changes_by_user ON password_changes (user_id);

-- `api outbox reemit` asks for the latest.
CREATE INDEX password_changes_by_time ON password_changes (changed_at, id);
