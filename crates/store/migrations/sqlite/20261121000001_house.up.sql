-- The registry's first tables and its change feed. Times are whole microseconds since the Unix epoch, since text
-- timestamps of different precision do not sort; ids are 16 bytes.
CREATE TABLE installation (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE tenants (
    id            BLOB PRIMARY KEY,
    slug          TEXT NOT NULL,
    name          TEXT NOT NULL,
    name_folded   TEXT NOT NULL,
    plan          TEXT NOT NULL,
    status        TEXT NOT NULL,
    status_reason TEXT,
    trial_ends_at INTEGER,
    metadata      TEXT NOT NULL,
    version       INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    frozen_at     INTEGER,
    admin_email   TEXT,
    admin_name    TEXT,
    CONSTRAINT tenants_slug_unique UNIQUE (slug),
    CONSTRAINT tenants_slug_shape CHECK (
        length(slug) BETWEEN 3 AND 63 AND slug NOT GLOB '*[^a-z0-9-]*' AND slug NOT GLOB '-*' AND slug NOT GLOB '*-'
    ),
    CONSTRAINT tenants_plan_known CHECK (plan IN ('starter', 'professional', 'enterprise')),
    CONSTRAINT tenants_status_known CHECK (status IN ('trial', 'active', 'frozen')),
    CONSTRAINT tenants_reason_known CHECK (status_reason IN ('cancelled', 'trial_expired')),
    CONSTRAINT tenants_frozen_whole CHECK (
        (status = 'frozen') = (frozen_at IS NOT NULL) AND (status = 'frozen') = (status_reason IS NOT NULL)
    ),
    CONSTRAINT tenants_trial_ends CHECK (status <> 'trial' OR trial_ends_at IS NOT NULL),
    CONSTRAINT tenants_version_counts CHECK (version >= 1)
) STRICT;
CREATE INDEX tenants_running_trials ON tenants (trial_ends_at) WHERE status = 'trial';

CREATE TABLE tenant_hosts (
    host      TEXT NOT NULL,
    prefix    TEXT NOT NULL,
    tenant_id BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    url       TEXT NOT NULL,
    position  INTEGER NOT NULL,
    CONSTRAINT tenant_hosts_route PRIMARY KEY (host, prefix),
    CONSTRAINT tenant_hosts_prefix CHECK (prefix LIKE '/%')
) STRICT;
CREATE INDEX tenant_hosts_of_tenant ON tenant_hosts (tenant_id, position);

-- Tenants that are gone: their audit events lose their group in batches, not in the deleting transaction.
CREATE TABLE deleted_tenants (
    id                BLOB PRIMARY KEY,
    slug              TEXT NOT NULL,
    name              TEXT NOT NULL,
    deleted_at        INTEGER NOT NULL,
    audit_detached_at INTEGER
) STRICT;
CREATE INDEX deleted_tenants_attached ON deleted_tenants (deleted_at) WHERE audit_detached_at IS NULL;

-- `tenant_id` goes null once the tenant is gone; `former_tenant_id` is what it was, for ever.
CREATE TABLE audit_events (
    id               BLOB PRIMARY KEY,
    tenant_id        BLOB,
    former_tenant_id BLOB,
    group_name       TEXT,
    action           TEXT NOT NULL,
    crud             TEXT NOT NULL,
    actor_id         TEXT,
    actor            TEXT,
    target_id        TEXT,
    target           TEXT,
    created          INTEGER NOT NULL,
    received         INTEGER NOT NULL,
    source_ip        TEXT,
    description      TEXT,
    is_anonymous     INTEGER NOT NULL,
    is_failure       INTEGER NOT NULL,
    fields           TEXT NOT NULL,
    component        TEXT,
    version          TEXT,
    external_id      TEXT,
    metadata         TEXT NOT NULL,
    CONSTRAINT audit_events_crud_known CHECK (crud IN ('c', 'r', 'u', 'd')),
    CONSTRAINT audit_events_actor_named CHECK (is_anonymous OR actor_id IS NOT NULL)
) STRICT;
CREATE INDEX audit_events_by_tenant ON audit_events (tenant_id, received DESC, id DESC);
CREATE INDEX audit_events_by_former_tenant ON audit_events (former_tenant_id, received DESC, id DESC);
CREATE INDEX audit_events_by_time ON audit_events (received DESC, id DESC);

-- SQLite has no roles: what PostgreSQL forbids by grants, it forbids by triggers.
CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit events are append-only');
END;
CREATE TRIGGER audit_events_no_change BEFORE UPDATE ON audit_events
WHEN NEW.tenant_id IS NOT NULL
    OR NOT EXISTS (SELECT 1 FROM deleted_tenants WHERE id = OLD.tenant_id)
    OR NEW.id IS NOT OLD.id OR NEW.former_tenant_id IS NOT OLD.former_tenant_id
    OR NEW.group_name IS NOT OLD.group_name OR NEW.action IS NOT OLD.action OR NEW.crud IS NOT OLD.crud
    OR NEW.actor_id IS NOT OLD.actor_id OR NEW.actor IS NOT OLD.actor
    OR NEW.target_id IS NOT OLD.target_id OR NEW.target IS NOT OLD.target
    OR NEW.created IS NOT OLD.created OR NEW.received IS NOT OLD.received OR NEW.source_ip IS NOT OLD.source_ip
    OR NEW.description IS NOT OLD.description OR NEW.is_anonymous IS NOT OLD.is_anonymous
    OR NEW.is_failure IS NOT OLD.is_failure OR NEW.fields IS NOT OLD.fields
    OR NEW.component IS NOT OLD.component OR NEW.version IS NOT OLD.version
    OR NEW.external_id IS NOT OLD.external_id OR NEW.metadata IS NOT OLD.metadata
BEGIN
    SELECT RAISE(ABORT, 'audit events are append-only');
END;

CREATE TABLE idempotency (
    caller      TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    token       BLOB NOT NULL,
    lease_until INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    outcome     TEXT,
    CONSTRAINT idempotency_key PRIMARY KEY (caller, key)
) STRICT;
CREATE INDEX idempotency_by_end ON idempotency (expires_at);

-- The change feed. There is one writer, so numbers commit in the order in which they are drawn; AUTOINCREMENT keeps a
-- number from being given twice once rows have been removed.
CREATE TABLE changes (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    kind      TEXT NOT NULL,
    op        TEXT NOT NULL,
    tenant_id BLOB,
    entity_id TEXT NOT NULL,
    value     TEXT,
    CONSTRAINT changes_kind_known CHECK (kind IN ('tenant', 'host', 'entitlement', 'api_key')),
    CONSTRAINT changes_op_known CHECK (op IN ('upsert', 'delete'))
) STRICT;
