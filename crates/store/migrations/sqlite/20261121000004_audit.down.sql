DROP TABLE audit_external_ids;
DROP INDEX audit_events_by_former_tenant;
CREATE INDEX audit_events_by_former_tenant ON audit_events (former_tenant_id, received DESC, id DESC);
DROP TRIGGER audit_events_no_change;
ALTER TABLE audit_events DROP COLUMN search;
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
    OR NEW.external_id IS NOT OLD.external_id OR NEW.metadata IS NOT OLD.metadata
BEGIN
    SELECT RAISE(ABORT, 'audit events are append-only');
END;
