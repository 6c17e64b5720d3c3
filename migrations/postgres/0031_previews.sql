-- What a deploy would change, computed on its target and changing nothing: a deployment of the kind `preview`.

ALTER TABLE deployments DROP CONSTRAINT deployments_kind_check;
ALTER TABLE deployments ADD CONSTRAINT deployments_kind_check CHECK (kind IN ('deploy', 'remove', 'build', 'preview'));

-- What was found, when it has ended well.
ALTER TABLE deployments ADD COLUMN preview JSONB;
