-- Who logged in and holds a token: 256 random bits that are told once, and kept as their SHA-256.
CREATE TABLE sessions (
    token_hash bytea       NOT NULL CONSTRAINT sessions_pkey PRIMARY KEY,
    user_id    uuid        NOT NULL CONSTRAINT sessions_user_fkey REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

-- A user has few, and the oldest goes first.
CREATE INDEX sessions_by_user ON sessions (user_id, created_at);

-- Housekeeping finds what has expired. It grows at its right end, and is never updated.
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- Whoever is erased takes all registrations of the address along, those that are over too. This takes the place of the
-- index of the open ones alone: the open ones are the newest. That goes last, because dropping it keeps readers away.
CREATE INDEX registrations_by_email ON registrations (email, created_at);
DROP INDEX registrations_open_by_email;
