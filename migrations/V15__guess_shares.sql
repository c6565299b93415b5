-- Guesses at codes that count: unsettled ones, which are being compared or whose request failed, and wrong ones. A right guess
-- is deleted. Replaces `guesses_by_hour` and the rows `wrong-codes-from` of `budgets`, which older APIs still use.
CREATE TABLE code_attempts (
    id      uuid        NOT NULL CONSTRAINT code_attempts_pkey PRIMARY KEY,
    -- The network of the client, under a keyed hash.
    network bytea       NOT NULL,
    at      timestamptz NOT NULL,
    -- Of the shortest code that the guess is compared with.
    length  smallint    NOT NULL,
    -- With how many codes it is compared. NULL, which is refused, if the instance limit has no place for them.
    codes   smallint    CONSTRAINT code_attempts_have_places CHECK (codes IS NOT NULL),
    wrong   boolean     NOT NULL DEFAULT false
);

CREATE INDEX code_attempts_by_network ON code_attempts (network, at);
CREATE INDEX code_attempts_by_time ON code_attempts (at);

-- Activations, of which a share is allowed in wrong guesses: of each network, and of the instance (an empty subject). Each
-- activation adds to one of several slots at random, so that no row is written by all of them.
CREATE TABLE activations_by_hour (
    subject     bytea       NOT NULL,
    hour        timestamptz NOT NULL,
    slot        smallint    NOT NULL,
    activations integer     NOT NULL,
    CONSTRAINT activations_by_hour_pkey PRIMARY KEY (subject, hour, slot)
);

CREATE INDEX activations_by_hour_by_age ON activations_by_hour (hour);

-- Most rows are deleted within milliseconds. Updates change no index; room beside the rows keeps them on their page.
ALTER TABLE code_attempts SET (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE activations_by_hour SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
