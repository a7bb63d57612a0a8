-- Two users become contacts once, so one row wants their room. Also the index for whoever looks whether a contact has its room.
ALTER TABLE contacts.outbox ADD CONSTRAINT outbox_once UNIQUE (low_id, high_id);
