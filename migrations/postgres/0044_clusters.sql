-- Where the objects of a project go that name no namespace; the agent's choice without.
ALTER TABLE projects ADD COLUMN namespace TEXT;
-- What a deployment does about what stands in its way in a cluster.
ALTER TABLE deployments ADD COLUMN conflicts TEXT NOT NULL DEFAULT 'refuse' CHECK (conflicts IN ('refuse', 'force'));
ALTER TABLE deployments ADD COLUMN immutable TEXT NOT NULL DEFAULT 'refuse' CHECK (immutable IN ('refuse', 'replace'));
