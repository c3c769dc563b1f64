-- The roles stay: they belong to the cluster, and another database may use them.
DROP FUNCTION audit_detach(uuid, bigint);
DROP FUNCTION feed_append(text[], text[], uuid[], text[], text[]);
DROP TABLE changes;
DROP SEQUENCE changes_seq;
DROP TABLE idempotency;
DROP TABLE audit_events;
DROP TABLE deleted_tenants;
DROP TABLE tenant_hosts;
DROP TABLE tenants;
DROP TABLE installation;
DROP FUNCTION app_tenant();
REVOKE ALL ON _sqlx_migrations FROM tenant_registry_platform;
