-- API keys: their SHA-256 and what is told about them. Keys without a tenant are the platform's.
CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    tenant_id    uuid REFERENCES tenants (id) ON DELETE CASCADE,
    name         text NOT NULL,
    prefix       text COLLATE "C" NOT NULL,
    last_four    text COLLATE "C" NOT NULL,
    hash         bytea NOT NULL,
    scopes       text NOT NULL,
    expires_at   timestamptz,
    created_at   timestamptz NOT NULL,
    created_by   text COLLATE "C" NOT NULL,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    rotated_to   uuid REFERENCES api_keys (id),
    CONSTRAINT api_keys_hash_unique UNIQUE (hash),
    CONSTRAINT api_keys_of_tenant UNIQUE (tenant_id, id),
    -- The successor of a tenant's key is the same tenant's.
    CONSTRAINT api_keys_rotated_within FOREIGN KEY (tenant_id, rotated_to) REFERENCES api_keys (tenant_id, id),
    CONSTRAINT api_keys_hash_whole CHECK (octet_length(hash) = 32),
    CONSTRAINT api_keys_last_four CHECK (length(last_four) = 4)
);
CREATE INDEX api_keys_rotated_to ON api_keys (rotated_to) WHERE rotated_to IS NOT NULL;

ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY api_keys_platform ON api_keys TO tenant_registry_platform USING (true) WITH CHECK (true);
CREATE POLICY api_keys_tenant ON api_keys FOR SELECT TO tenant_registry_tenant
    USING (tenant_id = (SELECT app_tenant()));

-- No DELETE: a key is revoked, and goes with its tenant.
GRANT SELECT, INSERT, UPDATE ON api_keys TO tenant_registry_platform;
GRANT SELECT ON api_keys TO tenant_registry_tenant;
