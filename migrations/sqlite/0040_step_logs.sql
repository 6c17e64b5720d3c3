-- The number of a step's first line in its log; NULL while it has not begun, and of agents that did not tell.
ALTER TABLE pipeline_steps ADD COLUMN log_from INTEGER CHECK (log_from >= 0);
