-- What a deploy would change, computed on its target and changing nothing: a deployment of the kind `preview`.

-- As in 0027: the documented way for changes of a check that touch no content.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (kind IN (''deploy'', ''remove'', ''build''))', 'CHECK (kind IN (''deploy'', ''remove'', ''build'', ''preview''))')
WHERE type = 'table' AND name = 'deployments';
PRAGMA writable_schema = RESET;

-- What was found, when it has ended well.
ALTER TABLE deployments ADD COLUMN preview TEXT;
