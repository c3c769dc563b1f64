-- Back to one table: the events are moved over, publishers' own ids are forgotten.
DROP FUNCTION audit_detach(uuid, bigint);
DROP FUNCTION audit_make_partition(date);
DROP TABLE audit_external_ids;
ALTER TABLE audit_events NO FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_events RENAME TO audit_events_by_month;
ALTER TABLE audit_events_by_month DROP CONSTRAINT audit_events_pkey;
DROP INDEX audit_events_by_tenant;
DROP INDEX audit_events_by_former_tenant;

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
INSERT INTO audit_events
SELECT id, tenant_id, former_tenant_id, group_name, action, crud, actor_id, actor, target_id, target, created, received,
    source_ip, description, is_anonymous, is_failure, fields, component, version, external_id, metadata
FROM audit_events_by_month;
DROP TABLE audit_events_by_month;
CREATE INDEX audit_events_by_tenant ON audit_events (tenant_id, received DESC, id DESC);
CREATE INDEX audit_events_by_former_tenant ON audit_events (former_tenant_id, received DESC, id DESC);
CREATE INDEX audit_events_by_time ON audit_events (received DESC, id DESC);

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

ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_events_platform_read ON audit_events FOR SELECT TO tenant_registry_platform USING (true);
CREATE POLICY audit_events_platform_append ON audit_events FOR INSERT TO tenant_registry_platform WITH CHECK (true);
CREATE POLICY audit_events_tenant_read ON audit_events FOR SELECT TO tenant_registry_tenant
    USING (tenant_id = (SELECT app_tenant()));
CREATE POLICY audit_events_tenant_append ON audit_events FOR INSERT TO tenant_registry_tenant
    WITH CHECK (tenant_id = (SELECT app_tenant()));
CREATE POLICY audit_events_owner_read ON audit_events FOR SELECT TO CURRENT_USER
    USING (EXISTS (SELECT 1 FROM deleted_tenants d WHERE d.id = former_tenant_id));
CREATE POLICY audit_events_owner_detach ON audit_events FOR UPDATE TO CURRENT_USER
    USING (EXISTS (SELECT 1 FROM deleted_tenants d WHERE d.id = tenant_id))
    WITH CHECK (tenant_id IS NULL);
GRANT SELECT, INSERT ON audit_events TO tenant_registry_platform, tenant_registry_tenant;
GRANT EXECUTE ON FUNCTION audit_detach(uuid, bigint) TO tenant_registry_platform;
