-- Attempts whose password is being compared. They are no failures until they end wrong, or are 30 s old.
ALTER TABLE lockouts ADD COLUMN pending timestamptz[] NOT NULL DEFAULT '{}';

CREATE INDEX lockouts_by_last_activity ON lockouts
    (GREATEST(until, failures[cardinality(failures)], pending[cardinality(pending)]));

-- Networks from which the owner of an account has activated it, logged in or reset the password. Attackers elsewhere cannot lock
-- these out.
CREATE TABLE known_networks (
    -- The address of the account, and that address together with the network, each under a keyed hash.
    address bytea       NOT NULL,
    network bytea       NOT NULL,
    last_at timestamptz NOT NULL,
    CONSTRAINT known_networks_pkey PRIMARY KEY (address, network)
);

CREATE INDEX known_networks_by_time ON known_networks (last_at);

-- Links that were mailed to the address of a locked account. One opens the account to one browser for a day.
CREATE TABLE unlocks (
    -- The id of the message. The link proves it.
    id         uuid        NOT NULL CONSTRAINT unlocks_pkey PRIMARY KEY,
    -- The address, under a keyed hash.
    address    bytea       NOT NULL,
    email      text        NOT NULL,
    language   text        NOT NULL,
    -- The owner of the mailbox wants no mails, and the address has no account.
    is_muted   boolean     NOT NULL,
    created_at timestamptz NOT NULL,
    -- When the button behind the link was pressed, and the hash of the cookie that the browser got.
    opened_at  timestamptz,
    cookie     bytea       CONSTRAINT unlocks_cookie_unique UNIQUE
);

-- For the cleanup, and for `api outbox reemit`.
CREATE INDEX unlocks_by_time ON unlocks (created_at, id);

-- An account that is deleted takes its links with it.
CREATE INDEX unlocks_by_email ON unlocks (email);

-- Last, because dropping an index keeps readers away, too.
DROP INDEX lockouts_by_last;
