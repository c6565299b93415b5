-- In which language somebody is written to: the tag of one that the version which wrote it has words for. Whoever
-- reads it and has none takes English, as do all who were here before, and those whom a node from before this
-- version lets in.
ALTER TABLE registrations ADD COLUMN language text NOT NULL DEFAULT 'en';
ALTER TABLE users ADD COLUMN language text NOT NULL DEFAULT 'en';
