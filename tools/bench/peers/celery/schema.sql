CREATE TABLE registrations (
    id uuid PRIMARY KEY,
    email text NOT NULL,
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX registrations_by_email ON registrations (email);
CREATE TABLE codes (
    id uuid PRIMARY KEY,
    registration_id uuid NOT NULL REFERENCES registrations,
    digits text NOT NULL,
    expires_at timestamptz NOT NULL
);
