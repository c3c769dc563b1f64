-- The identity work of tenants: what was done at the identity provider, what went wrong, who is at it.
--
-- No foreign key to tenants: a row outlives its tenant until everything of it is removed there.
CREATE TABLE provisioning (
    tenant_id             uuid PRIMARY KEY,
    slug                  text COLLATE "C" NOT NULL,
    email                 text NOT NULL,
    admin_name            text,
    gone                  boolean NOT NULL,
    wanted                bigint NOT NULL,
    done                  bigint NOT NULL,
    asked_at              timestamptz,
    status                text COLLATE "C" NOT NULL,
    step                  text COLLATE "C",
    organization_id       text COLLATE "C",
    error                 text COLLATE "C",
    organization_meant    boolean NOT NULL,
    pushed                text,
    organization_switched text COLLATE "C",
    account_id            text COLLATE "C",
    account_ours          boolean NOT NULL,
    account_meant_at      timestamptz,
    is_member             boolean NOT NULL,
    is_admin              boolean NOT NULL,
    mail_claimed          boolean NOT NULL,
    mail_settled_at       timestamptz,
    account_switched      text COLLATE "C",
    provisioned_at        timestamptz,
    told_step             text COLLATE "C",
    told_error            text COLLATE "C",
    attempts              bigint NOT NULL,
    due_at                timestamptz,
    lease_until           timestamptz,
    fence                 bigint NOT NULL,
    CONSTRAINT provisioning_status_known CHECK (status IN ('pending', 'provisioned', 'failed')),
    CONSTRAINT provisioning_failed_whole CHECK ((status = 'failed') = (error IS NOT NULL)),
    CONSTRAINT provisioning_told_whole CHECK ((told_step IS NULL) = (told_error IS NULL)),
    CONSTRAINT provisioning_organization_switched_known CHECK (organization_switched IN ('meant', 'off', 'left')),
    CONSTRAINT provisioning_account_switched_known CHECK (account_switched IN ('meant', 'off', 'left')),
    -- What is not ours is never switched off.
    CONSTRAINT provisioning_switches_ours CHECK (account_switched IS NULL OR account_ours),
    CONSTRAINT provisioning_done_was_wanted CHECK (done <= wanted)
);
-- What the job looks for, what a new tenant of an old slug waits for, and who shares an account.
CREATE INDEX provisioning_due ON provisioning (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX provisioning_gone ON provisioning (slug) WHERE gone;
CREATE INDEX provisioning_of_account ON provisioning (account_id) WHERE account_id IS NOT NULL;

ALTER TABLE provisioning ENABLE ROW LEVEL SECURITY;
ALTER TABLE provisioning FORCE ROW LEVEL SECURITY;
CREATE POLICY provisioning_platform ON provisioning TO tenant_registry_platform USING (true) WITH CHECK (true);
CREATE POLICY provisioning_tenant ON provisioning FOR SELECT TO tenant_registry_tenant
    USING (tenant_id = (SELECT app_tenant()));

GRANT SELECT, INSERT, UPDATE, DELETE ON provisioning TO tenant_registry_platform;
-- What is shown of it with the tenant, and nothing else.
GRANT SELECT (tenant_id, status, step, organization_id, error) ON provisioning TO tenant_registry_tenant;
