-- What a target's host is for, in words of the team; `builder` is one that builds for others.
ALTER TABLE deployment_targets ADD COLUMN labels JSONB NOT NULL DEFAULT '[]';
