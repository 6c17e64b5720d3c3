-- What the images are made of that a deployment has built: by service, with their layers.
ALTER TABLE deployments ADD COLUMN built TEXT;
