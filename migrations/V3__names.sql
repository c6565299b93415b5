-- Under which key addresses and networks are named in `budgets`, `guesses` and `lockouts`: a value that only
-- that key makes. With another key every limit would silently begin anew.
CREATE TABLE names (
    only_row boolean NOT NULL DEFAULT true CONSTRAINT names_pkey PRIMARY KEY CHECK (only_row),
    sample   bytea   NOT NULL
);
