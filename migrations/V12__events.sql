-- Mails and events wait apart: however many events rest because somebody's queue refuses them, whoever looks for mails
-- reads none of them.

-- From when on an event may be leased. It moves when a relay puts an event back, and not with a lease: those change
-- no column that an index has. Of mails it is never looked at. Nodes from before this version do not look at it either, and
-- leave it as it is.
ALTER TABLE outbox ADD COLUMN due_at timestamptz NOT NULL DEFAULT now();

CREATE INDEX outbox_mails ON outbox (created_at) WHERE NOT message ? 'specversion';
CREATE INDEX outbox_events ON outbox (due_at) WHERE message ? 'specversion';

-- Whoever is erased is taken out of the events that wait. It has no entries unless events name addresses.
CREATE INDEX outbox_by_email ON outbox ((message #>> '{data,email}')) WHERE message #>> '{data,email}' IS NOT NULL;
