-- What people pay for, or were granted.

CREATE TABLE billing_subscriptions (
    id UUID PRIMARY KEY,
    -- NULL while nothing has told whose it is.
    user_id UUID REFERENCES users (id) ON DELETE CASCADE,
    provider TEXT NOT NULL CHECK (provider IN ('manual', 'stripe')),
    -- What the provider calls it, and who pays; a grant has neither.
    subscription_id TEXT,
    customer_id TEXT,
    status TEXT NOT NULL,
    -- What is paid for, as the provider calls it, and the plan that this is here; NULL: none that is known.
    price_id TEXT,
    plan_id UUID REFERENCES plans (id) ON DELETE RESTRICT,
    started_at TIMESTAMPTZ NOT NULL,
    renew_at TIMESTAMPTZ,
    -- Until when it gives the plan; NULL: it does not, or not any more.
    gives_until TIMESTAMPTZ,
    -- The latest word of the provider that counts.
    event_at TIMESTAMPTZ,
    event_id TEXT,
    payment_failed_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (provider, subscription_id)
);
CREATE INDEX billing_subscriptions_user ON billing_subscriptions (user_id, id);
CREATE INDEX billing_subscriptions_customer ON billing_subscriptions (customer_id);
CREATE INDEX billing_subscriptions_plan ON billing_subscriptions (plan_id);
CREATE INDEX billing_subscriptions_due ON billing_subscriptions (gives_until) WHERE gives_until IS NOT NULL;
