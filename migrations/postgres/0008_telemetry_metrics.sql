-- Samples of hosts and containers: 10 s for two hours, 1 min for two days, 1 h for 90 days.

CREATE TABLE cluster_metrics (
    agent_id UUID NOT NULL,
    team_id UUID NOT NULL,
    -- The length of the interval that the sample stands for, in seconds.
    resolution_s BIGINT NOT NULL CHECK (resolution_s IN (10, 60, 3600)),
    -- The start of the interval, Unix seconds on the control plane's clock.
    at BIGINT NOT NULL,
    -- Host and containers, encoded.
    sample BYTEA NOT NULL,
    PRIMARY KEY (agent_id, resolution_s, at)
);
CREATE INDEX cluster_metrics_age ON cluster_metrics (resolution_s, at, agent_id);
CREATE INDEX cluster_metrics_team ON cluster_metrics (team_id, resolution_s, at, agent_id);

-- How far each roll-up has come.
CREATE TABLE metric_rollups (
    resolution_s BIGINT PRIMARY KEY CHECK (resolution_s IN (60, 3600)),
    -- All intervals that start before this are done, Unix seconds.
    done_until BIGINT NOT NULL
);
