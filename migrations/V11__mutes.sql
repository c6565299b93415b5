-- Sign-ups with these addresses get no mail for a while: whoever reads theirs said that it was not them. Nodes from
-- before this version do not look here.
CREATE TABLE mutes (
    -- The address, under a keyed hash.
    subject bytea       NOT NULL CONSTRAINT mutes_pkey PRIMARY KEY,
    until   timestamptz NOT NULL
);

-- Housekeeping finds what has run out. It grows at its right end.
CREATE INDEX mutes_by_end ON mutes (until);
