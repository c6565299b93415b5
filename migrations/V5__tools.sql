-- What an operator asks for must be found without reading a whole table. Few mails are ever undeliverable.
CREATE INDEX deliveries_undeliverable ON deliveries (at) WHERE outcome = 'undeliverable';

-- `api outbox reemit` asks who came in within the last day.
CREATE INDEX users_by_activation ON users (activated_at, id);
