DROP TABLE changes;
DROP TABLE idempotency;
DROP TABLE audit_events;
DROP TABLE deleted_tenants;
DROP TABLE tenant_hosts;
DROP TABLE tenants;
DROP TABLE installation;
