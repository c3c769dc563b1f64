-- A tenant's metadata once more, a row for each member: the claims route finds tenants by it.
CREATE TABLE tenant_metadata (
    tenant_id BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    key       TEXT NOT NULL,
    value     TEXT NOT NULL,
    CONSTRAINT tenant_metadata_member PRIMARY KEY (tenant_id, key)
) STRICT;
CREATE INDEX tenant_metadata_values ON tenant_metadata (key, value);
INSERT INTO tenant_metadata (tenant_id, key, value)
    SELECT t.id, m.key, m.value FROM tenants t, json_each(t.metadata) AS m;
