DROP TABLE tenant_metadata;
