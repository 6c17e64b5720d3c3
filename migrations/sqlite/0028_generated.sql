-- What was generated last under a file's path, whatever people have made of it: a later generation is merged with that.
ALTER TABLE project_files ADD COLUMN generated_content BLOB;
UPDATE project_files SET generated_content = content WHERE is_generated = 1;
