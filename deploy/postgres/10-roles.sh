#!/bin/sh
# The roles of an installation, made once by whoever may make roles; the postgres image runs this when its data is empty.
# registry_owner owns the schema and runs `tenant-registry migrate`; registry_app is what the service logs in as. The two
# roles between are what the service works as (SET ROLE); the migrations grant them their rights and make them where they
# are missing, but registry_owner may not make roles, so they are made here.
# Invariant: no role made here is a superuser, bypasses row security, or may make roles.
set -eu

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set owner_password="$REGISTRY_OWNER_PASSWORD" --set app_password="$REGISTRY_APP_PASSWORD" \
    --set database="$POSTGRES_DB" <<'SQL'
CREATE ROLE registry_owner LOGIN PASSWORD :'owner_password' NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
CREATE ROLE registry_app LOGIN PASSWORD :'app_password' NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
CREATE ROLE tenant_registry_tenant NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
CREATE ROLE tenant_registry_platform NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
GRANT tenant_registry_tenant, tenant_registry_platform TO registry_app;
ALTER DATABASE :"database" OWNER TO registry_owner;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO registry_app;
SQL
