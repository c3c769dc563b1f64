//! The login on PostgreSQL: outside dev the service starts with one that is only a member of its two roles, and refuses
//! superusers, logins that bypass row security, owners, and logins that may become any of these. The roles are made as
//! `deploy/postgres/10-roles.sh` makes them, with that file's own statements.

use serde_json::json;
use store::testing::postgres::Cluster;

use crate::support::StoreKind;
use crate::support::client::Client;
use crate::support::issuer::TestIssuer;
use crate::support::process::{Finished, Program, source_root};
use crate::support::server::left_out;
use crate::support::sql::run_postgres;

/// A database with the roles of the deployment, its schema made by its owner. Roles are the cluster's, so that it is one
/// of its own.
struct Deployment {
    cluster: Cluster,
    url: String,
}

impl Deployment {
    async fn new() -> Self {
        let cluster = tokio::task::spawn_blocking(|| Cluster::start_with(false)).await.unwrap();
        let url = cluster.create_database();
        let deployment = Self { cluster, url };
        run_postgres(&deployment.url, &deployment.roles()).await;
        let owner = deployment.login("registry_owner");
        Program::new().set("MIGRATION_DATABASE_URL", &owner).args(&["migrate", "up"]).run().await.succeeded();
        deployment
    }

    fn database(&self) -> &str {
        self.url.rsplit('/').next().unwrap()
    }

    /// The statements of the deployment's script, with the variables that psql would fill in.
    fn roles(&self) -> String {
        let script = std::fs::read_to_string(source_root().join("deploy/postgres/10-roles.sh")).unwrap();
        let (_, sql) = script.split_once("<<'SQL'\n").unwrap();
        let sql = sql.trim_end().strip_suffix("SQL").unwrap();
        let sql = sql.replace(":'owner_password'", "'owner-password'").replace(":'app_password'", "'app-password'");
        let sql = sql.replace(":\"database\"", self.database());
        assert!(!sql.contains(":'") && !sql.contains(":\""), "a variable that the test does not know: {sql}");
        sql
    }

    fn login(&self, name: &str) -> String {
        format!("postgres://{name}:any-password@127.0.0.1:{}/{}", self.cluster.port(), self.database())
    }

    /// Makes a login and runs further statements, as the superuser.
    async fn make(&self, name: &str, options: &str, further: &str) -> String {
        let connect = format!("GRANT CONNECT ON DATABASE {} TO {name}", self.database());
        run_postgres(&self.url, &format!("CREATE ROLE {name} LOGIN {options}; {connect}; {further}")).await;
        self.login(name)
    }

    async fn refused(&self, issuer: &TestIssuer, url: &str, words: &[&str]) -> Finished {
        let finished = Program::in_prod(issuer.url()).set("DATABASE_URL", url).run().await.refused(words);
        assert!(!finished.stderr.contains("any-password"), "{}", finished.stderr);
        finished
    }
}

const MEMBER: &str = "GRANT tenant_registry_tenant, tenant_registry_platform TO";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_prod_the_service_starts_with_a_login_that_is_only_a_member_of_its_roles_and_with_no_mightier_one() {
    if left_out(StoreKind::Postgres) {
        return;
    }
    let (deployment, issuer) = (Deployment::new().await, TestIssuer::start().await);
    let refusing = "refusing to start in APP_ENV=prod";

    let process = Program::in_prod(issuer.url()).set("DATABASE_URL", &deployment.login("registry_app")).start().await;
    assert_eq!(process.stdout(), "");
    let admin = Client::new(&process.url).bearer(&issuer.token(issuer.claims("ada").role("PLATFORM_ADMIN")));
    admin.post("/v1/tenants", json!({ "slug": "first-in-prod", "name": "First" })).await.expect(201);
    admin.get("/v1/tenants/by-slug/first-in-prod").await.expect(200);
    drop(process);

    deployment.refused(&issuer, &deployment.login("postgres"), &[refusing, "`postgres` is a superuser"]).await;

    let bypass = deployment.make("bypasser", "BYPASSRLS", &format!("{MEMBER} bypasser")).await;
    deployment.refused(&issuer, &bypass, &[refusing, "`bypasser` is exempt from row security (BYPASSRLS)"]).await;

    let further = "GRANT tenant_registry_tenant, tenant_registry_platform TO registry_owner";
    run_postgres(&deployment.url, further).await;
    deployment
        .refused(&issuer, &deployment.login("registry_owner"), &[refusing, "`registry_owner`, which owns the tables"])
        .await;

    let heir = deployment.make("heir", "NOINHERIT", &format!("{MEMBER} heir; GRANT registry_owner TO heir")).await;
    deployment.refused(&issuer, &heir, &[refusing, "may become, `registry_owner`"]).await;

    let climber =
        deployment.make("climber", "NOINHERIT", &format!("{MEMBER} climber; GRANT bypasser TO climber")).await;
    deployment.refused(&issuer, &climber, &[refusing, "may become `bypasser`"]).await;

    // Not a member, or of one role only: what to run is said.
    let grant = "GRANT tenant_registry_platform, tenant_registry_tenant TO";
    let stranger = deployment.make("stranger", "", "").await;
    deployment.refused(&issuer, &stranger, &[grant]).await;
    let half = deployment.make("half", "", "GRANT tenant_registry_platform TO half").await;
    deployment.refused(&issuer, &half, &[grant]).await;

    // A role that may change what happened is refused, whoever logs in.
    run_postgres(&deployment.url, "GRANT DELETE ON audit_events TO tenant_registry_platform").await;
    let words = [refusing, "`tenant_registry_platform` may change or delete audit events"];
    deployment.refused(&issuer, &deployment.login("registry_app"), &words).await;
}

/// The same login is taken in dev, with a warning.
#[tokio::test]
async fn in_dev_a_mightier_login_is_only_warned_of() {
    if left_out(StoreKind::Postgres) {
        return;
    }
    let url = tokio::task::spawn_blocking(|| Cluster::shared().create_database()).await.unwrap();
    let process = Program::new().set("DATABASE_URL", &url).start().await;
    assert!(process.stderr().contains("mightier than it may be outside dev"), "{}", process.stderr());
}
