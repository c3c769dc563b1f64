-- The audit log, cut by month, so that a page costs the same however much was written before; and what publishers'
-- own ids of their events are remembered by.
--
-- The table is made anew and the events are moved over. An older program may go on appending meanwhile: it names its
-- columns, and `search` has a default.
DROP FUNCTION audit_detach(uuid, bigint);
-- Its owner would be shown nothing but the events of deleted tenants.
ALTER TABLE audit_events NO FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_events RENAME TO audit_events_flat;
ALTER TABLE audit_events_flat DROP CONSTRAINT audit_events_pkey;
DROP INDEX audit_events_by_tenant;
DROP INDEX audit_events_by_former_tenant;
DROP INDEX audit_events_by_time;

-- No foreign key to tenants: deleting a tenant with millions of events must not touch them in one transaction.
-- `tenant_id` goes null once the tenant is gone; `former_tenant_id` is what it was, for ever. `search` is what a text is
-- looked for in, folded by the program.
CREATE TABLE audit_events (
    id               uuid NOT NULL,
    tenant_id        uuid,
    former_tenant_id uuid,
    group_name       text,
    action           text COLLATE "C" NOT NULL,
    crud             text COLLATE "C" NOT NULL,
    actor_id         text COLLATE "C",
    actor            text,
    target_id        text COLLATE "C",
    target           text,
    created          timestamptz NOT NULL,
    received         timestamptz NOT NULL,
    source_ip        text COLLATE "C",
    description      text,
    is_anonymous     boolean NOT NULL,
    is_failure       boolean NOT NULL,
    fields           text NOT NULL,
    component        text,
    version          text,
    external_id      text COLLATE "C",
    metadata         text NOT NULL,
    search           text COLLATE "C" NOT NULL DEFAULT '',
    -- Also the order of every page, newest first.
    CONSTRAINT audit_events_pkey PRIMARY KEY (received, id),
    CONSTRAINT audit_events_crud_known CHECK (crud IN ('c', 'r', 'u', 'd')),
    CONSTRAINT audit_events_actor_named CHECK (is_anonymous OR actor_id IS NOT NULL)
) PARTITION BY RANGE (received);
CREATE INDEX audit_events_by_tenant ON audit_events (tenant_id, received, id);
CREATE INDEX audit_events_by_former_tenant ON audit_events (former_tenant_id, received, id)
    WHERE tenant_id IS NULL AND former_tenant_id IS NOT NULL;

-- Where an event goes whose month nobody has made: no append ever fails for that.
CREATE TABLE audit_events_default PARTITION OF audit_events DEFAULT;
ALTER TABLE audit_events_default ENABLE ROW LEVEL SECURITY;

-- Makes the partition of a month where there is none, and moves what was written to the default meanwhile.
-- It has the owner's power and makes tables, which no body of the standard's form can; so the schema it works in is the
-- one it was made in, and the caller's temporary tables come last.
DO $make$
BEGIN
    EXECUTE format($function$
CREATE FUNCTION audit_make_partition(month date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, %1$I, pg_temp SET lock_timeout = '2s'
AS $body$
DECLARE
    month_of  date;
    part      text;
    begins_at text;
    ends_at   text;
BEGIN
    IF month IS NULL OR month < date '2000-01-01' OR month > (now() AT TIME ZONE 'UTC')::date + interval '24 months' THEN
        RAISE EXCEPTION 'no partition is made for %%', month USING ERRCODE = 'invalid_parameter_value';
    END IF;
    month_of := make_date(extract(year FROM month)::int, extract(month FROM month)::int, 1);
    part := 'audit_events_' || to_char(month_of, 'YYYYMM');
    IF to_regclass('%1$I.' || part) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- One at a time, whoever asks, and the second finds it made. Nobody appends meanwhile: an event that was on its way
    -- to the default would be refused there once its month has a place of its own. Readers go on.
    LOCK TABLE ONLY %1$I.audit_events IN SHARE ROW EXCLUSIVE MODE;
    IF to_regclass('%1$I.' || part) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- With an offset, so that the session's time zone is of no account.
    begins_at := to_char(month_of, 'YYYY-MM-DD') || ' 00:00:00+00';
    ends_at := to_char(month_of + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00';
    EXECUTE format('CREATE TABLE %1$I.%%I (LIKE %1$I.audit_events INCLUDING ALL)', part);
    EXECUTE format('REVOKE ALL ON %1$I.%%I FROM PUBLIC, tenant_registry_platform, tenant_registry_tenant', part);
    EXECUTE format('ALTER TABLE %1$I.%%I ENABLE ROW LEVEL SECURITY', part);
    EXECUTE format(
        'WITH moved AS (DELETE FROM %1$I.audit_events_default WHERE received >= %%L AND received < %%L RETURNING *) '
        'INSERT INTO %1$I.%%I SELECT * FROM moved', begins_at, ends_at, part);
    EXECUTE format(
        'ALTER TABLE %1$I.audit_events ATTACH PARTITION %1$I.%%I FOR VALUES FROM (%%L) TO (%%L)',
        part, begins_at, ends_at);
    RETURN true;
END
$body$;
$function$, current_schema());
END
$make$;
REVOKE ALL ON FUNCTION audit_make_partition(date) FROM PUBLIC;

-- The months of what is there, this one and the next two.
SELECT audit_make_partition(m.month)
FROM (
    SELECT DISTINCT date_trunc('month', received AT TIME ZONE 'UTC')::date AS month FROM audit_events_flat
    UNION
    SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month')::date FROM generate_series(0, 2) AS n
) AS m
WHERE m.month BETWEEN '2000-01-01' AND now() + interval '23 months'
ORDER BY m.month;

-- What was written before is found by the texts of its JSON, folded as well as SQL can.
INSERT INTO audit_events
SELECT e.*, lower(concat_ws(E'\n', e.action, e.actor, e.target, e.description, e.external_id, e.component, e.source_ip,
    e.fields))
FROM audit_events_flat e;
DROP TABLE audit_events_flat;

-- Which event a publisher's own id of it named first. No foreign key to tenants, as for the events; what a deleted tenant
-- leaves goes in batches.
CREATE TABLE audit_external_ids (
    tenant_id   uuid NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    event_id    uuid NOT NULL,
    CONSTRAINT audit_external_ids_key PRIMARY KEY (tenant_id, external_id)
);

-- What keeps the log append-only and still lets a deleted tenant's events lose their group: the service's roles may not
-- update events, and this runs as the owner and changes nothing but that, a batch at a time. Its body is bound to the
-- tables when it is made, where a text would look their names up again, in the caller's temporary schema first.
-- It is planned without knowing its batch: left the choice, the planner takes a tenth of the tenant's events for it, and
-- joins them by reading every part of the log. A walk along the index and a look-up for each of the batch is what is meant.
CREATE FUNCTION audit_detach(gone uuid, batch bigint) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
BEGIN ATOMIC
    WITH picked AS (
        SELECT e.received, e.id FROM audit_events e
        WHERE e.tenant_id = gone AND EXISTS (SELECT 1 FROM deleted_tenants d WHERE d.id = gone)
        LIMIT batch
    ), detached AS (
        UPDATE audit_events e SET tenant_id = NULL FROM picked
        WHERE e.received = picked.received AND e.id = picked.id RETURNING 1
    )
    SELECT count(*) FROM detached;
END;
REVOKE ALL ON FUNCTION audit_detach(uuid, bigint) FROM PUBLIC;

-- Row security, on the whole table: the parts can be reached through it alone, and have no policy and no grant.
ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_external_ids ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_external_ids FORCE ROW LEVEL SECURITY;

CREATE POLICY audit_events_platform_read ON audit_events FOR SELECT TO tenant_registry_platform USING (true);
CREATE POLICY audit_events_platform_append ON audit_events FOR INSERT TO tenant_registry_platform WITH CHECK (true);
CREATE POLICY audit_events_tenant_read ON audit_events FOR SELECT TO tenant_registry_tenant
    USING (tenant_id = (SELECT app_tenant()));
CREATE POLICY audit_events_tenant_append ON audit_events FOR INSERT TO tenant_registry_tenant
    WITH CHECK (tenant_id = (SELECT app_tenant()));
-- The owner, inside audit_detach, may see and detach the events of deleted tenants, and only those.
CREATE POLICY audit_events_owner_read ON audit_events FOR SELECT TO CURRENT_USER
    USING (EXISTS (SELECT 1 FROM deleted_tenants d WHERE d.id = former_tenant_id));
CREATE POLICY audit_events_owner_detach ON audit_events FOR UPDATE TO CURRENT_USER
    USING (EXISTS (SELECT 1 FROM deleted_tenants d WHERE d.id = tenant_id))
    WITH CHECK (tenant_id IS NULL);

CREATE POLICY audit_external_ids_platform ON audit_external_ids FOR SELECT TO tenant_registry_platform USING (true);
CREATE POLICY audit_external_ids_platform_append ON audit_external_ids FOR INSERT TO tenant_registry_platform
    WITH CHECK (true);
-- An id that could be taken back could be published twice.
CREATE POLICY audit_external_ids_platform_forget ON audit_external_ids FOR DELETE TO tenant_registry_platform
    USING (EXISTS (SELECT 1 FROM deleted_tenants d WHERE d.id = tenant_id));
CREATE POLICY audit_external_ids_tenant ON audit_external_ids FOR SELECT TO tenant_registry_tenant
    USING (tenant_id = (SELECT app_tenant()));

GRANT SELECT, INSERT ON audit_events TO tenant_registry_platform, tenant_registry_tenant;
GRANT SELECT, INSERT, DELETE ON audit_external_ids TO tenant_registry_platform;
GRANT SELECT ON audit_external_ids TO tenant_registry_tenant;
GRANT EXECUTE ON FUNCTION audit_detach(uuid, bigint) TO tenant_registry_platform;
GRANT EXECUTE ON FUNCTION audit_make_partition(date) TO tenant_registry_platform;
