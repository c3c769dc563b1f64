//! What the image would hold, where no container engine is needed to see it: the binary in an empty root directory with
//! its libraries, a user and a certificate folder; and the facts of the Dockerfile and of the compose file.
//!
//! The image itself is not built here. As anyone but root the parts with `chroot` are left out, and say so.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use server::config::settings;
use yaml_serde::Value;

use crate::support::process::{Program, free_port, source_root};

/// `nonroot` of the distroless images.
const USER: u32 = 65_532;

const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A root directory that holds what the image holds, and nothing else: no shell, no `/proc`, no `/dev`.
struct Root(tempfile::TempDir);

impl Root {
    /// None as anyone but root, or where the tools are missing; says so.
    fn new() -> Option<Self> {
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
        let has_tools = ["chroot", "ldd"].iter().all(|tool| Command::new(tool).arg("--version").output().is_ok());
        if !is_root || !has_tools || !Path::new(CERTIFICATES).exists() {
            eprintln!("left out: an empty root directory needs root, `chroot`, `ldd` and {CERTIFICATES}");
            return None;
        }
        let root = Self(tempfile::Builder::new().prefix("registry-image-").tempdir().unwrap());
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_tenant-registry"));
        root.put(binary, "tenant-registry");
        let libraries = Command::new("ldd").arg(binary).output().unwrap();
        for library in libraries_of(&String::from_utf8(libraries.stdout).unwrap()) {
            root.put(&library, library.strip_prefix("/").unwrap().to_str().unwrap());
        }
        // The image's base brings the usual authorities.
        root.put(Path::new(CERTIFICATES), CERTIFICATES.trim_start_matches('/'));
        fs::write(
            root.path().join("etc/passwd"),
            format!("nonroot:x:{USER}:{USER}:nonroot:/home/nonroot:/sbin/nologin\n"),
        )
        .unwrap();
        Some(root)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn put(&self, file: &Path, place: &str) {
        let target = self.path().join(place);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        // A link where it can be one: the binary with its symbols is large. To the file itself, not to a link to it.
        let file = file.canonicalize().unwrap();
        if fs::hard_link(&file, &target).is_err() {
            fs::copy(&file, &target).unwrap();
        }
    }

    /// A folder that the service's user may write to, as a mounted volume is.
    fn volume(&self, name: &str) {
        let folder = self.path().join(name);
        fs::create_dir(&folder).unwrap();
        chown(&folder, Some(USER), Some(USER)).unwrap();
    }

    /// The binary inside, as the image's user. Nothing of this machine's folders is inside.
    fn program(&self) -> Program {
        let user = format!("--userspec={USER}:{USER}");
        let words = ["chroot", "--groups=", &user, self.path().to_str().unwrap(), "/tenant-registry"];
        Program::of(&words.map(str::to_owned)).unset("TMPDIR")
    }
}

/// Paths out of what `ldd` prints: `libm.so.6 => /lib/…/libm.so.6 (0x…)`, and `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn libraries_of(text: &str) -> Vec<PathBuf> {
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

#[test]
fn the_binary_needs_no_library_that_the_image_does_not_have() {
    let Ok(output) = Command::new("ldd").arg(env!("CARGO_BIN_EXE_tenant-registry")).output() else {
        return eprintln!("left out: no `ldd` here");
    };
    // distroless/cc: glibc, libgcc and libstdc++ (and OpenSSL, which nothing here may need).
    let known =
        ["libc.so", "libm.so", "libgcc_s.so", "libstdc++.so", "ld-linux", "libdl.so", "libpthread.so", "librt.so"];
    for library in libraries_of(&String::from_utf8(output.stdout).unwrap()) {
        let name = library.file_name().unwrap().to_str().unwrap();
        assert!(known.iter().any(|known| name.starts_with(known)), "{name} is not in the image");
    }
}

#[tokio::test]
async fn in_an_empty_root_the_service_runs_over_a_volume_as_the_images_user() {
    let Some(root) = Root::new() else { return };
    root.volume("data");
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let program = || root.program().set("DATABASE_URL", "sqlite:/data/registry.sqlite").set("ADDR", &address);
    let mut process = program().start().await;
    process.admin().make_tenant("in-a-volume").await;
    root.program().set("ADDR", &address).args(&["healthcheck"]).run().await.succeeded();
    let status = fs::read_dir(root.path().join("data")).unwrap().count();
    assert!(status >= 1);
    process.signal("TERM");
    assert_eq!(process.ended(std::time::Duration::from_secs(20)).await.code(), Some(0), "{}", process.stderr());
    let dead = root.program().set("ADDR", &address).args(&["healthcheck"]).run().await;
    assert_eq!(dead.code, Some(1), "{}", dead.stderr);
    let again = program().start().await;
    again.admin().get("/v1/tenants/by-slug/in-a-volume").await.expect(200);
    drop(again);
    // Nothing was written outside the volume.
    let mut entries: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    entries.retain(|name| !name.to_string_lossy().starts_with("lib") && name != "usr");
    entries.sort();
    assert_eq!(entries, ["data", "etc", "tenant-registry"]);
}

/// The check runs also where the image lacks certificates: it asks this machine in plain HTTP.
#[tokio::test]
async fn the_health_check_needs_nothing_but_the_binary() {
    let Some(root) = Root::new() else { return };
    fs::remove_dir_all(root.path().join("etc")).unwrap();
    root.volume("data");
    let process = root.program().set("DATABASE_URL", "sqlite:/data/registry.sqlite").start().await;
    root.program().set("ADDR", process.address()).args(&["healthcheck"]).run().await.succeeded();
}

#[tokio::test]
async fn in_an_empty_root_the_service_runs_in_prod_over_a_volume() {
    let Some(root) = Root::new() else { return };
    root.volume("data");
    let mut program = root.program().unset("DEV_TOKEN").set("DATABASE_URL", "sqlite:/data/registry.sqlite");
    for (name, text) in [
        ("APP_ENV", "prod"),
        ("KEYCLOAK_ISSUER", "https://id.example.com/realms/main"),
        ("KEYCLOAK_ADMIN_URL", "https://id.example.com"),
        ("KEYCLOAK_CLIENT_ID", "registry"),
        ("KEYCLOAK_CLIENT_SECRET", "keycloak-client-secret"),
    ] {
        program = program.set(name, text);
    }
    let process = program.start().await;
    process.admin().get("/v1/tenants").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn in_an_empty_root_the_store_in_memory_needs_a_temporary_folder_and_says_so() {
    let Some(root) = Root::new() else { return };
    root.program().run().await.refused(&["no temporary folder", "/tmp", "TMPDIR"]);
    root.volume("tmp");
    root.program().start().await.admin().get("/v1/tenants/by-slug/acme").await.expect(200);
}

#[tokio::test]
async fn a_volume_that_cannot_be_written_is_named() {
    let Some(root) = Root::new() else { return };
    fs::create_dir(root.path().join("data")).unwrap();
    let program = root.program().set("DATABASE_URL", "sqlite:/data/registry.sqlite");
    program.run().await.refused(&["/data/registry.sqlite"]);
    let program = root.program().set("DATABASE_URL", "sqlite:/elsewhere/registry.sqlite");
    program.run().await.refused(&["/elsewhere"]);
}

fn dockerfile() -> Vec<(String, String)> {
    let text = fs::read_to_string(source_root().join("Dockerfile")).unwrap();
    let text = text.replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap()).map(|(word, rest)| (word.to_owned(), rest.to_owned())).collect()
}

/// The instructions of the last stage.
fn image() -> Vec<(String, String)> {
    let all = dockerfile();
    let last = all.iter().rposition(|(word, _)| word == "FROM").unwrap();
    all[last..].to_vec()
}

#[test]
fn the_image_runs_as_a_user_that_is_not_root_and_needs_no_shell() {
    let image = image();
    let one = |word: &str| {
        let found: Vec<_> = image.iter().filter(|(name, _)| name == word).map(|(_, rest)| rest.as_str()).collect();
        assert_eq!(found.len(), 1, "{word}: {found:?}");
        found[0].to_owned()
    };
    assert!(one("FROM").contains("distroless") && dockerfile().iter().filter(|(word, _)| word == "FROM").count() == 2);
    assert_eq!(one("USER"), format!("{USER}:{USER}"), "a number, so that an orchestrator can check it");
    assert_eq!(one("ENV"), "APP_ENV=prod");
    assert_eq!(one("ENTRYPOINT"), "[\"/tenant-registry\"]");
    let words = |json: &str| {
        serde_json::from_str::<Vec<String>>(json).unwrap_or_else(|error| panic!("shell form: {json}: {error}"))
    };
    assert_eq!(words(&one("CMD")), ["serve"]);
    let check = one("HEALTHCHECK");
    assert_eq!(words(check.split_once("CMD ").unwrap().1), ["/tenant-registry", "healthcheck"]);
    assert!(!image.iter().any(|(word, _)| word == "RUN" || word == "SHELL"), "there is no shell to run it");
    let port = settings::find("ADDR").unwrap().default.text(server::config::AppEnv::Prod).trim_start_matches(':');
    assert_eq!(one("EXPOSE"), port);
}

fn compose() -> Value {
    yaml_serde::from_str(&fs::read_to_string(source_root().join("deploy/compose.yaml")).unwrap()).unwrap()
}

#[test]
fn in_the_compose_file_migrations_run_before_the_service_and_as_the_schemas_owner() {
    let compose = compose();
    let services = &compose["services"];
    let names: Vec<_> =
        services.as_mapping().unwrap().iter().map(|(name, _)| name.as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["postgres", "migrate", "registry"]);
    let condition =
        |service: &str, on: &str| services[service]["depends_on"][on]["condition"].as_str().map(str::to_owned);
    assert_eq!(condition("migrate", "postgres").as_deref(), Some("service_healthy"));
    assert_eq!(condition("registry", "migrate").as_deref(), Some("service_completed_successfully"));
    assert_eq!(condition("registry", "postgres").as_deref(), Some("service_healthy"));
    assert!(services["postgres"]["healthcheck"]["test"].is_sequence());
    let command: Vec<_> =
        services["migrate"]["command"].as_sequence().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(command, ["migrate", "up"]);
    assert_eq!(services["migrate"]["restart"].as_str(), Some("no"), "an init container runs once");
    assert!(services["registry"]["command"].is_null() && services["registry"]["entrypoint"].is_null());
    // The image's own check, by the subcommand; a check here would have to be one too.
    let check = &services["registry"]["healthcheck"]["test"];
    assert!(check.is_null() || check.as_sequence().unwrap().iter().any(|word| word.as_str() == Some("healthcheck")));
    let url = |service: &str, name: &str| services[service]["environment"][name].as_str().unwrap().to_owned();
    assert!(url("migrate", "MIGRATION_DATABASE_URL").starts_with("postgres://registry_owner:"));
    assert!(url("registry", "DATABASE_URL").starts_with("postgres://registry_app:"), "the service is not the owner");
    assert_eq!(url("registry", "MIGRATE_ON_START"), "false");
    for service in ["migrate", "registry"] {
        assert_eq!(services[service]["image"].as_str(), Some("tenant-registry"));
        assert_eq!(services[service]["build"].as_str(), Some(".."));
    }
}

#[test]
fn every_variable_that_the_compose_file_gives_the_service_is_a_setting() {
    let compose = compose();
    for service in ["migrate", "registry"] {
        for (name, _) in compose["services"][service]["environment"].as_mapping().unwrap() {
            let name = name.as_str().unwrap();
            assert!(settings::find(name).is_some(), "{service}: {name} is no setting");
        }
    }
}

#[test]
fn every_path_that_the_compose_file_mounts_from_the_tree_is_there() {
    let compose = compose();
    let folder = source_root().join("deploy");
    for volume in compose["services"]["postgres"]["volumes"].as_sequence().unwrap() {
        let from = volume.as_str().unwrap().split(':').next().unwrap();
        let there =
            if from.starts_with('.') { folder.join(from).is_dir() } else { compose["volumes"].get(from).is_some() };
        assert!(there, "{from}");
    }
    let script = folder.join("postgres/10-roles.sh");
    let text = fs::read_to_string(&script).unwrap();
    for name in ["REGISTRY_OWNER_PASSWORD", "REGISTRY_APP_PASSWORD"] {
        assert!(text.contains(name) && compose["services"]["postgres"]["environment"][name].is_string(), "{name}");
    }
}
