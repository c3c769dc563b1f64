-- What tenants have, what they can have, and what they asked for.
CREATE TABLE products (
    key         TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    description TEXT,
    trial_days  INTEGER NOT NULL,
    requestable INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    CONSTRAINT products_key_shape CHECK (
        length(key) BETWEEN 1 AND 64 AND key NOT GLOB '*[^a-z0-9._-]*'
        AND key GLOB '[a-z0-9]*' AND key GLOB '*[a-z0-9]'
    ),
    CONSTRAINT products_trial_lasts CHECK (trial_days BETWEEN 1 AND 365)
) STRICT;
CREATE INDEX products_by_age ON products (created_at DESC, key DESC);

CREATE TABLE entitlements (
    id         BLOB NOT NULL,
    tenant_id  BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    product    TEXT NOT NULL,
    state      TEXT NOT NULL,
    source     TEXT NOT NULL,
    starts_at  INTEGER,
    expires_at INTEGER,
    limits     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CONSTRAINT entitlements_key PRIMARY KEY (tenant_id, id),
    CONSTRAINT entitlements_id_unique UNIQUE (id),
    CONSTRAINT entitlements_product_once UNIQUE (tenant_id, product),
    CONSTRAINT entitlements_product FOREIGN KEY (product) REFERENCES products (key) ON DELETE RESTRICT,
    CONSTRAINT entitlements_state_known CHECK (state IN ('trial', 'active', 'revoked')),
    CONSTRAINT entitlements_source_known CHECK (source IN ('grant', 'trial', 'request')),
    CONSTRAINT entitlements_end_after_start CHECK (expires_at > starts_at)
) STRICT;
CREATE INDEX entitlements_of_product ON entitlements (product);

-- Trials that were used. No foreign key to products: a product that comes back is not a new one to whoever tried it.
CREATE TABLE trials (
    tenant_id BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    product   TEXT NOT NULL,
    used_at   INTEGER NOT NULL,
    CONSTRAINT trials_once PRIMARY KEY (tenant_id, product)
) STRICT;

-- No foreign key to products: what was asked for stays known after the product is gone.
CREATE TABLE catalog_requests (
    id           BLOB NOT NULL,
    tenant_id    BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    product      TEXT NOT NULL,
    message      TEXT,
    status       TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    decided_by   TEXT,
    created_at   INTEGER NOT NULL,
    decided_at   INTEGER,
    CONSTRAINT catalog_requests_key PRIMARY KEY (tenant_id, id),
    CONSTRAINT catalog_requests_id_unique UNIQUE (id),
    CONSTRAINT catalog_requests_status_known CHECK (status IN ('open', 'approved', 'rejected')),
    CONSTRAINT catalog_requests_decided_whole CHECK (
        (status = 'open') = (decided_by IS NULL) AND (status = 'open') = (decided_at IS NULL)
    )
) STRICT;
-- One open request of a tenant for a product.
CREATE UNIQUE INDEX catalog_requests_open ON catalog_requests (tenant_id, product) WHERE status = 'open';
-- What lists of requests that stand alike walk along: a tenant's, and everybody's. Without the first, the second would be
-- taken for a tenant's as well.
CREATE INDEX catalog_requests_of_tenant_by_status ON catalog_requests (tenant_id, status, id);
CREATE INDEX catalog_requests_by_status ON catalog_requests (status, id);
