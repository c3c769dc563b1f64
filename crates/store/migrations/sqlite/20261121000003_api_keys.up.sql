-- API keys: their SHA-256 and what is told about them. Keys without a tenant are the platform's.
CREATE TABLE api_keys (
    id           BLOB PRIMARY KEY,
    tenant_id    BLOB REFERENCES tenants (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    prefix       TEXT NOT NULL,
    last_four    TEXT NOT NULL,
    hash         BLOB NOT NULL,
    scopes       TEXT NOT NULL,
    expires_at   INTEGER,
    created_at   INTEGER NOT NULL,
    created_by   TEXT NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER,
    rotated_to   BLOB REFERENCES api_keys (id),
    CONSTRAINT api_keys_hash_unique UNIQUE (hash),
    CONSTRAINT api_keys_of_tenant UNIQUE (tenant_id, id),
    -- The successor of a tenant's key is the same tenant's.
    CONSTRAINT api_keys_rotated_within FOREIGN KEY (tenant_id, rotated_to) REFERENCES api_keys (tenant_id, id),
    CONSTRAINT api_keys_hash_whole CHECK (length(hash) = 32),
    CONSTRAINT api_keys_last_four CHECK (length(last_four) = 4)
) STRICT;
CREATE INDEX api_keys_rotated_to ON api_keys (rotated_to) WHERE rotated_to IS NOT NULL;
