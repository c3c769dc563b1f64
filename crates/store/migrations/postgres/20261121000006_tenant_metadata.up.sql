-- A tenant's metadata once more, a row for each member: the claims route finds tenants by it.
CREATE TABLE tenant_metadata (
    tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    key       text COLLATE "C" NOT NULL,
    value     text COLLATE "C" NOT NULL,
    CONSTRAINT tenant_metadata_member PRIMARY KEY (tenant_id, key)
);
CREATE INDEX tenant_metadata_values ON tenant_metadata (key, value);

-- The owner sees no tenant through the policies, which are the service's.
ALTER TABLE tenants NO FORCE ROW LEVEL SECURITY;
INSERT INTO tenant_metadata (tenant_id, key, value)
    SELECT t.id, m.key, m.value FROM tenants t, json_each_text(t.metadata::json) AS m;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;

ALTER TABLE tenant_metadata ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_metadata FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_metadata_platform ON tenant_metadata TO tenant_registry_platform USING (true) WITH CHECK (true);
CREATE POLICY tenant_metadata_tenant ON tenant_metadata FOR SELECT TO tenant_registry_tenant
    USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT, INSERT, DELETE ON tenant_metadata TO tenant_registry_platform;
GRANT SELECT ON tenant_metadata TO tenant_registry_tenant;
