-- Whose lease it is: a relay whose own has run out must not touch that of the next. Nodes from before this
-- version leave it as it is.
ALTER TABLE outbox ADD COLUMN leased_by uuid;
