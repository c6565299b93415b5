-- Wrong guesses follow the address, not the code: they outlive codes, registrations and restarts.
CREATE TABLE guesses (
    -- The address, under a keyed hash.
    subject bytea       NOT NULL CONSTRAINT guesses_pkey PRIMARY KEY,
    wrong   integer     NOT NULL,
    last_at timestamptz NOT NULL
);

-- Those of everybody together, by the hour and the length of the code.
CREATE TABLE guesses_by_hour (
    hour   timestamptz NOT NULL,
    length smallint    NOT NULL,
    wrong  integer     NOT NULL,
    CONSTRAINT guesses_by_hour_pkey PRIMARY KEY (hour, length)
);

-- Wrong passwords for an address: from one network, and in all.
CREATE TABLE lockouts (
    subject  bytea         NOT NULL CONSTRAINT lockouts_pkey PRIMARY KEY,
    failures timestamptz[] NOT NULL,
    locks    smallint      NOT NULL,
    until    timestamptz
);

-- Those at one registration, over all its codes.
ALTER TABLE registrations ADD COLUMN guesses integer NOT NULL DEFAULT 0;
