-- The identity work of tenants: what was done at the identity provider, what went wrong, who is at it.
--
-- No foreign key to tenants: a row outlives its tenant until everything of it is removed there.
CREATE TABLE provisioning (
    tenant_id             BLOB PRIMARY KEY,
    slug                  TEXT NOT NULL,
    email                 TEXT NOT NULL,
    admin_name            TEXT,
    gone                  INTEGER NOT NULL,
    wanted                INTEGER NOT NULL,
    done                  INTEGER NOT NULL,
    asked_at              INTEGER,
    status                TEXT NOT NULL,
    step                  TEXT,
    organization_id       TEXT,
    error                 TEXT,
    organization_meant    INTEGER NOT NULL,
    pushed                TEXT,
    organization_switched TEXT,
    account_id            TEXT,
    account_ours          INTEGER NOT NULL,
    account_meant_at      INTEGER,
    is_member             INTEGER NOT NULL,
    is_admin              INTEGER NOT NULL,
    mail_claimed          INTEGER NOT NULL,
    mail_settled_at       INTEGER,
    account_switched      TEXT,
    provisioned_at        INTEGER,
    told_step             TEXT,
    told_error            TEXT,
    attempts              INTEGER NOT NULL,
    due_at                INTEGER,
    lease_until           INTEGER,
    fence                 INTEGER NOT NULL,
    CONSTRAINT provisioning_status_known CHECK (status IN ('pending', 'provisioned', 'failed')),
    CONSTRAINT provisioning_failed_whole CHECK ((status = 'failed') = (error IS NOT NULL)),
    CONSTRAINT provisioning_told_whole CHECK ((told_step IS NULL) = (told_error IS NULL)),
    CONSTRAINT provisioning_organization_switched_known CHECK (organization_switched IN ('meant', 'off', 'left')),
    CONSTRAINT provisioning_account_switched_known CHECK (account_switched IN ('meant', 'off', 'left')),
    -- What is not ours is never switched off.
    CONSTRAINT provisioning_switches_ours CHECK (account_switched IS NULL OR account_ours),
    CONSTRAINT provisioning_done_was_wanted CHECK (done <= wanted)
) STRICT;
-- What the job looks for, what a new tenant of an old slug waits for, and who shares an account.
CREATE INDEX provisioning_due ON provisioning (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX provisioning_gone ON provisioning (slug) WHERE gone;
CREATE INDEX provisioning_of_account ON provisioning (account_id) WHERE account_id IS NOT NULL;
