-- The registry's first tables, its change feed, and the two roles that the service works as.
--
-- Roles are cluster-wide, so they may exist already (another database, a DBA, a migration that runs at the same moment).
DO $roles$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['tenant_registry_tenant', 'tenant_registry_platform'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', wanted);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL; -- somebody else made it between the look and the making
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'role % is missing and % may not create roles', wanted, current_user
                        USING HINT = 'Run as a role with CREATEROLE: CREATE ROLE tenant_registry_tenant NOLOGIN; CREATE ROLE tenant_registry_platform NOLOGIN;';
            END;
        END IF;
    END LOOP;
END
$roles$;

CREATE TABLE installation (
    name  text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE tenants (
    id            uuid PRIMARY KEY,
    slug          text COLLATE "C" NOT NULL,
    name          text NOT NULL,
    name_folded   text COLLATE "C" NOT NULL,
    plan          text COLLATE "C" NOT NULL,
    status        text COLLATE "C" NOT NULL,
    status_reason text COLLATE "C",
    trial_ends_at timestamptz,
    metadata      text NOT NULL,
    version       bigint NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    frozen_at     timestamptz,
    admin_email   text,
    admin_name    text,
    CONSTRAINT tenants_slug_unique UNIQUE (slug),
    CONSTRAINT tenants_slug_shape CHECK (slug ~ '^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$'),
    CONSTRAINT tenants_plan_known CHECK (plan IN ('starter', 'professional', 'enterprise')),
    CONSTRAINT tenants_status_known CHECK (status IN ('trial', 'active', 'frozen')),
    CONSTRAINT tenants_reason_known CHECK (status_reason IN ('cancelled', 'trial_expired')),
    CONSTRAINT tenants_frozen_whole CHECK (
        (status = 'frozen') = (frozen_at IS NOT NULL) AND (status = 'frozen') = (status_reason IS NOT NULL)
    ),
    CONSTRAINT tenants_trial_ends CHECK (status <> 'trial' OR trial_ends_at IS NOT NULL),
    CONSTRAINT tenants_version_counts CHECK (version >= 1)
);
-- What the freezing job looks for.
CREATE INDEX tenants_running_trials ON tenants (trial_ends_at) WHERE status = 'trial';

CREATE TABLE tenant_hosts (
    host      text COLLATE "C" NOT NULL,
    prefix    text COLLATE "C" NOT NULL,
    tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    url       text NOT NULL,
    position  bigint NOT NULL,
    CONSTRAINT tenant_hosts_route PRIMARY KEY (host, prefix),
    CONSTRAINT tenant_hosts_prefix CHECK (prefix LIKE '/%')
);
CREATE INDEX tenant_hosts_of_tenant ON tenant_hosts (tenant_id, position);

-- Tenants that are gone: their audit events lose their group in batches, not in the deleting transaction.
CREATE TABLE deleted_tenants (
    id                uuid PRIMARY KEY,
    slug              text COLLATE "C" NOT NULL,
    name              text NOT NULL,
    deleted_at        timestamptz NOT NULL,
    audit_detached_at timestamptz
);
CREATE INDEX deleted_tenants_attached ON deleted_tenants (deleted_at) WHERE audit_detached_at IS NULL;

-- No foreign key to tenants: deleting a tenant with millions of events must not touch them in one transaction.
-- `tenant_id` goes null once the tenant is gone; `former_tenant_id` is what it was, for ever.
CREATE TABLE audit_events (
    id               uuid PRIMARY KEY,
    tenant_id        uuid,
    former_tenant_id uuid,
    group_name       text,
    action           text COLLATE "C" NOT NULL,
    crud             text COLLATE "C" NOT NULL,
    actor_id         text COLLATE "C",
    actor            text,
    target_id        text COLLATE "C",
    target           text,
    created          timestamptz NOT NULL,
    received         timestamptz NOT NULL,
    source_ip        text COLLATE "C",
    description      text,
    is_anonymous     boolean NOT NULL,
    is_failure       boolean NOT NULL,
    fields           text NOT NULL,
    component        text,
    version          text,
    external_id      text COLLATE "C",
    metadata         text NOT NULL,
    CONSTRAINT audit_events_crud_known CHECK (crud IN ('c', 'r', 'u', 'd')),
    CONSTRAINT audit_events_actor_named CHECK (is_anonymous OR actor_id IS NOT NULL)
);
CREATE INDEX audit_events_by_tenant ON audit_events (tenant_id, received DESC, id DESC);
CREATE INDEX audit_events_by_former_tenant ON audit_events (former_tenant_id, received DESC, id DESC);
CREATE INDEX audit_events_by_time ON audit_events (received DESC, id DESC);

CREATE TABLE idempotency (
    caller      text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    token       uuid NOT NULL,
    lease_until timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    outcome     text,
    CONSTRAINT idempotency_key PRIMARY KEY (caller, key)
);
CREATE INDEX idempotency_by_end ON idempotency (expires_at);

-- The change feed. Numbers are drawn while a shared advisory lock is held, as the writer's last statement, so that a
-- reader who meets a gap can ask who might still fill it (docs/decisions/0002-change-feed.md).
CREATE SEQUENCE changes_seq AS bigint NO CYCLE CACHE 1;
CREATE TABLE changes (
    seq       bigint PRIMARY KEY,
    kind      text COLLATE "C" NOT NULL,
    op        text COLLATE "C" NOT NULL,
    tenant_id uuid,
    entity_id text NOT NULL,
    value     text,
    CONSTRAINT changes_kind_known CHECK (kind IN ('tenant', 'host', 'entitlement', 'api_key')),
    CONSTRAINT changes_op_known CHECK (op IN ('upsert', 'delete'))
);

-- Two numbers that mean "the feed of this registry" among the database's advisory locks.
CREATE FUNCTION feed_append(kinds text[], ops text[], tenants uuid[], entities text[], vals text[]) RETURNS void
    LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1953653104, 1);
    INSERT INTO changes (seq, kind, op, tenant_id, entity_id, value)
    SELECT nextval('changes_seq'), c.kind, c.op, c.tenant_id, c.entity_id, c.value
    FROM unnest(kinds, ops, tenants, entities, vals) WITH ORDINALITY AS c (kind, op, tenant_id, entity_id, value, place)
    ORDER BY c.place;
END
$body$;

-- What keeps the log append-only and still lets a deleted tenant's events lose their group: the service's roles may not
-- update events, and this runs as the owner and changes nothing but that, a batch at a time.
-- It has the owner's power, so it must mean the same tables whoever calls it: a body of the standard's form is bound to
-- them when it is made, where a text would look their names up again, in the caller's temporary schema first.
CREATE FUNCTION audit_detach(gone uuid, batch bigint) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH picked AS (
        SELECT e.id FROM audit_events e
        WHERE e.tenant_id = gone AND EXISTS (SELECT 1 FROM deleted_tenants d WHERE d.id = gone)
        LIMIT batch
    ), detached AS (
        UPDATE audit_events e SET tenant_id = NULL FROM picked WHERE e.id = picked.id RETURNING 1
    )
    SELECT count(*) FROM detached;
END;
REVOKE ALL ON FUNCTION audit_detach(uuid, bigint) FROM PUBLIC;

-- Row security. No value of the setting means "all": without it the tenant role sees nothing.
CREATE FUNCTION app_tenant() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE AS $body$ SELECT NULLIF(current_setting('app.tenant', true), '')::uuid $body$;

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
ALTER TABLE tenant_hosts ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_hosts FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;

-- Enabled, not forced: audit_detach runs as the owner and has to see which tenants are gone.
ALTER TABLE deleted_tenants ENABLE ROW LEVEL SECURITY;

CREATE POLICY deleted_tenants_platform ON deleted_tenants TO tenant_registry_platform USING (true) WITH CHECK (true);
CREATE POLICY deleted_tenants_tenant ON deleted_tenants FOR SELECT TO tenant_registry_tenant
    USING (id = (SELECT app_tenant()));
CREATE POLICY tenants_platform ON tenants TO tenant_registry_platform USING (true) WITH CHECK (true);
CREATE POLICY tenants_tenant ON tenants FOR SELECT TO tenant_registry_tenant USING (id = (SELECT app_tenant()));
CREATE POLICY tenant_hosts_platform ON tenant_hosts TO tenant_registry_platform USING (true) WITH CHECK (true);
CREATE POLICY tenant_hosts_tenant ON tenant_hosts FOR SELECT TO tenant_registry_tenant
    USING (tenant_id = (SELECT app_tenant()));
CREATE POLICY audit_events_platform_read ON audit_events FOR SELECT TO tenant_registry_platform USING (true);
CREATE POLICY audit_events_platform_append ON audit_events FOR INSERT TO tenant_registry_platform WITH CHECK (true);
CREATE POLICY audit_events_tenant_read ON audit_events FOR SELECT TO tenant_registry_tenant
    USING (tenant_id = (SELECT app_tenant()));
CREATE POLICY audit_events_tenant_append ON audit_events FOR INSERT TO tenant_registry_tenant
    WITH CHECK (tenant_id = (SELECT app_tenant()));
-- The owner, inside audit_detach, may see and detach the events of deleted tenants, and only those.
CREATE POLICY audit_events_owner_read ON audit_events FOR SELECT TO CURRENT_USER
    USING (EXISTS (SELECT 1 FROM deleted_tenants d WHERE d.id = former_tenant_id));
CREATE POLICY audit_events_owner_detach ON audit_events FOR UPDATE TO CURRENT_USER
    USING (EXISTS (SELECT 1 FROM deleted_tenants d WHERE d.id = tenant_id))
    WITH CHECK (tenant_id IS NULL);

GRANT SELECT, INSERT, UPDATE, DELETE ON tenants, tenant_hosts, idempotency TO tenant_registry_platform;
GRANT SELECT, INSERT, UPDATE ON deleted_tenants TO tenant_registry_platform;
GRANT SELECT, INSERT ON installation, changes, audit_events TO tenant_registry_platform;
GRANT USAGE ON SEQUENCE changes_seq TO tenant_registry_platform;
GRANT EXECUTE ON FUNCTION audit_detach(uuid, bigint) TO tenant_registry_platform;
GRANT SELECT ON _sqlx_migrations TO tenant_registry_platform;
GRANT SELECT ON tenants, tenant_hosts, deleted_tenants TO tenant_registry_tenant;
GRANT SELECT, INSERT ON audit_events TO tenant_registry_tenant;
