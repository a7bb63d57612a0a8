-- For the number of open invitations that a user has made. Not only of open ones: an index of a part
-- of the rows would be an alternative to the primary key for every statement about open invitations.
CREATE INDEX pairs_inviter ON contacts.pairs (inviter_id, state COLLATE "C");

-- For the deletion of invitations that nobody has answered. Only that statement has this condition.
CREATE INDEX pairs_invited_at ON contacts.pairs (invited_at) WHERE contacts_since IS NULL;
