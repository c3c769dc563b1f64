-- What tenants have, what they can have, and what they asked for.
CREATE TABLE products (
    key         text COLLATE "C" PRIMARY KEY,
    name        text NOT NULL,
    description text,
    trial_days  bigint NOT NULL,
    requestable boolean NOT NULL,
    created_at  timestamptz NOT NULL,
    CONSTRAINT products_key_shape CHECK (key ~ '^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$'),
    CONSTRAINT products_trial_lasts CHECK (trial_days BETWEEN 1 AND 365)
);
CREATE INDEX products_by_age ON products (created_at DESC, key DESC);

CREATE TABLE entitlements (
    id         uuid NOT NULL,
    tenant_id  uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    product    text COLLATE "C" NOT NULL,
    state      text COLLATE "C" NOT NULL,
    source     text COLLATE "C" NOT NULL,
    starts_at  timestamptz,
    expires_at timestamptz,
    limits     text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT entitlements_key PRIMARY KEY (tenant_id, id),
    CONSTRAINT entitlements_id_unique UNIQUE (id),
    CONSTRAINT entitlements_product_once UNIQUE (tenant_id, product),
    CONSTRAINT entitlements_product FOREIGN KEY (product) REFERENCES products (key) ON DELETE RESTRICT,
    CONSTRAINT entitlements_state_known CHECK (state IN ('trial', 'active', 'revoked')),
    CONSTRAINT entitlements_source_known CHECK (source IN ('grant', 'trial', 'request')),
    CONSTRAINT entitlements_end_after_start CHECK (expires_at > starts_at)
);
CREATE INDEX entitlements_of_product ON entitlements (product);

-- Trials that were used. No foreign key to products: a product that comes back is not a new one to whoever tried it.
CREATE TABLE trials (
    tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    product   text COLLATE "C" NOT NULL,
    used_at   timestamptz NOT NULL,
    CONSTRAINT trials_once PRIMARY KEY (tenant_id, product)
);

-- No foreign key to products: what was asked for stays known after the product is gone.
CREATE TABLE catalog_requests (
    id           uuid NOT NULL,
    tenant_id    uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    product      text COLLATE "C" NOT NULL,
    message      text,
    status       text COLLATE "C" NOT NULL,
    requested_by text NOT NULL,
    decided_by   text,
    created_at   timestamptz NOT NULL,
    decided_at   timestamptz,
    CONSTRAINT catalog_requests_key PRIMARY KEY (tenant_id, id),
    CONSTRAINT catalog_requests_id_unique UNIQUE (id),
    CONSTRAINT catalog_requests_status_known CHECK (status IN ('open', 'approved', 'rejected')),
    CONSTRAINT catalog_requests_decided_whole CHECK (
        (status = 'open') = (decided_by IS NULL) AND (status = 'open') = (decided_at IS NULL)
    )
);
-- One open request of a tenant for a product.
CREATE UNIQUE INDEX catalog_requests_open ON catalog_requests (tenant_id, product) WHERE status = 'open';
-- What lists of requests that stand alike walk along: a tenant's, and everybody's. Without the first, the second would be
-- taken for a tenant's as well.
CREATE INDEX catalog_requests_of_tenant_by_status ON catalog_requests (tenant_id, status, id);
CREATE INDEX catalog_requests_by_status ON catalog_requests (status, id);

ALTER TABLE products ENABLE ROW LEVEL SECURITY;
ALTER TABLE products FORCE ROW LEVEL SECURITY;
ALTER TABLE entitlements ENABLE ROW LEVEL SECURITY;
ALTER TABLE entitlements FORCE ROW LEVEL SECURITY;
ALTER TABLE trials ENABLE ROW LEVEL SECURITY;
ALTER TABLE trials FORCE ROW LEVEL SECURITY;
ALTER TABLE catalog_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE catalog_requests FORCE ROW LEVEL SECURITY;

-- The catalog is everybody's to read.
CREATE POLICY products_platform ON products TO tenant_registry_platform USING (true) WITH CHECK (true);
CREATE POLICY products_tenant ON products FOR SELECT TO tenant_registry_tenant USING (true);
CREATE POLICY entitlements_platform ON entitlements TO tenant_registry_platform USING (true) WITH CHECK (true);
CREATE POLICY entitlements_tenant ON entitlements FOR SELECT TO tenant_registry_tenant
    USING (tenant_id = (SELECT app_tenant()));
CREATE POLICY trials_platform ON trials TO tenant_registry_platform USING (true) WITH CHECK (true);
CREATE POLICY trials_tenant ON trials FOR SELECT TO tenant_registry_tenant USING (tenant_id = (SELECT app_tenant()));
CREATE POLICY catalog_requests_platform ON catalog_requests TO tenant_registry_platform USING (true) WITH CHECK (true);
CREATE POLICY catalog_requests_tenant ON catalog_requests FOR SELECT TO tenant_registry_tenant
    USING (tenant_id = (SELECT app_tenant()));

GRANT SELECT, INSERT, UPDATE, DELETE ON products TO tenant_registry_platform;
GRANT SELECT, INSERT, UPDATE ON entitlements, catalog_requests TO tenant_registry_platform;
GRANT SELECT, INSERT ON trials TO tenant_registry_platform;
GRANT SELECT ON products, entitlements, trials, catalog_requests TO tenant_registry_tenant;
