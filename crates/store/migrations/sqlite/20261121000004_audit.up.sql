-- What a text is looked for in, and what publishers' own ids of their events are remembered by. PostgreSQL cuts the log by
-- month as well; a file has no use for that.
ALTER TABLE audit_events ADD COLUMN search TEXT NOT NULL DEFAULT '';
DROP TRIGGER audit_events_no_change;
-- What was written before is found by the texts of its JSON, folded as well as SQL can.
UPDATE audit_events SET search = lower(action || char(10) || coalesce(actor, '') || char(10) || coalesce(target, '')
    || char(10) || coalesce(description, '') || char(10) || coalesce(external_id, '') || char(10)
    || coalesce(component, '') || char(10) || coalesce(source_ip, '') || char(10) || fields);
CREATE TRIGGER audit_events_no_change BEFORE UPDATE ON audit_events
WHEN NEW.tenant_id IS NOT NULL
    OR NOT EXISTS (SELECT 1 FROM deleted_tenants WHERE id = OLD.tenant_id)
    OR NEW.id IS NOT OLD.id OR NEW.former_tenant_id IS NOT OLD.former_tenant_id
    OR NEW.group_name IS NOT OLD.group_name OR NEW.action IS NOT OLD.action OR NEW.crud IS NOT OLD.crud
    OR NEW.actor_id IS NOT OLD.actor_id OR NEW.actor IS NOT OLD.actor
    OR NEW.target_id IS NOT OLD.target_id OR NEW.target IS NOT OLD.target
    OR NEW.created IS NOT OLD.created OR NEW.received IS NOT OLD.received OR NEW.source_ip IS NOT OLD.source_ip
    OR NEW.description IS NOT OLD.description OR NEW.is_anonymous IS NOT OLD.is_anonymous
    OR NEW.is_failure IS NOT OLD.is_failure OR NEW.fields IS NOT OLD.fields
    OR NEW.component IS NOT OLD.component OR NEW.version IS NOT OLD.version
    OR NEW.external_id IS NOT OLD.external_id OR NEW.metadata IS NOT OLD.metadata OR NEW.search IS NOT OLD.search
BEGIN
    SELECT RAISE(ABORT, 'audit events are append-only');
END;
DROP INDEX audit_events_by_former_tenant;
CREATE INDEX audit_events_by_former_tenant ON audit_events (former_tenant_id, received DESC, id DESC)
    WHERE tenant_id IS NULL AND former_tenant_id IS NOT NULL;

-- Which event a publisher's own id of it named first. No foreign key to tenants, as for the events; what a deleted tenant
-- leaves goes in batches.
CREATE TABLE audit_external_ids (
    tenant_id   BLOB NOT NULL,
    external_id TEXT NOT NULL,
    event_id    BLOB NOT NULL,
    CONSTRAINT audit_external_ids_key PRIMARY KEY (tenant_id, external_id)
) STRICT, WITHOUT ROWID;
-- An id that could be taken back could be published twice.
CREATE TRIGGER audit_external_ids_kept BEFORE DELETE ON audit_external_ids
WHEN NOT EXISTS (SELECT 1 FROM deleted_tenants WHERE id = OLD.tenant_id)
BEGIN
    SELECT RAISE(ABORT, 'ids of events are kept');
END;
CREATE TRIGGER audit_external_ids_no_change BEFORE UPDATE ON audit_external_ids
BEGIN
    SELECT RAISE(ABORT, 'ids of events are kept');
END;
