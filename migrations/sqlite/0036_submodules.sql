-- Whether the submodules of a project's repository are taken, too.
ALTER TABLE project_sources ADD COLUMN submodules TEXT NOT NULL DEFAULT 'leave' CHECK (submodules IN ('leave', 'take'));
