//! When a changed key of the configuration takes effect: compares the tables
//! with a host that reads its configuration again and with one that starts
//! again. Runs the real binary with a data directory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use openline_core::config::{TABLES, effect_of, keys};
use openline_core::limits::Effect;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::tls::Authority;
use crate::harness::{Client, Raw, Serving};

const TOKEN: &str = "0123456789abcdef";

/// A value of each limit that is not its default, and allowed together with the
/// others here.
fn other_value(table: &str, name: &str) -> String {
    let quoted = match name {
        "message_bytes" => "\"1 MiB\"",
        "outbox_bytes" => "\"64 MiB\"",
        "attachment_bytes" => "\"1 KiB\"",
        "memory_bytes" => "\"32 MiB\"",
        "compile_memory_bytes" => "\"1 GiB\"",
        "time_warning" => "\"1 s\"",
        // A busy machine takes seconds to compile, and to run a thread.
        "compile_timeout" | "watchdog_timeout" | "watchdog_exit_timeout" => "\"2 min\"",
        "cpu_timeout" => "\"100 ms\"",
        "backoff_time" => "\"600 ms\"",
        "backoff_time_max" | "connection_time" | "outbound_time" => "\"20 min\"",
        "faults_in_a_row" => "3",
        "fuel_per_event" => "100000000000",
        "table_elements" => "20000",
        "versions" => "20",
        "compilations" => "2",
        "outbound_header_bytes" => "\"4 KiB\"",
        "compression_level" => "9",
        "compression_threshold" => "\"64 B\"",
        "outbound_lookups" | "concurrency" | "tags" | "alarms" | "auto_responses" | "channels" => {
            "7"
        }
        "stream_time" => "\"3 s\"",
        _ if name.ends_with("_timeout") || name.ends_with("_interval") => "\"3 s\"",
        _ if name.ends_with("_bytes") || name == "bytes_per_second" => "\"5 MiB\"",
        _ => "999",
    };
    // The host's are larger, and those of a handshake are smaller.
    match (table, name) {
        ("[server]", "alarms") => "999".into(),
        ("[function.limit]", name)
            if name.starts_with("request_") || name.starts_with("response_") =>
        {
            "\"4 KiB\"".into()
        }
        ("[function.limit]", "rejection_body_bytes" | "state_bytes") => "\"4 KiB\"".into(),
        ("[function.limit]", "hostcall_bytes") => "\"8 MiB\"".into(),
        _ => quoted.into(),
    }
}

/// Every limit of a table with another value.
fn other_limits(table: &str) -> String {
    let rows = TABLES.iter().filter(|(each, _)| *each == table);
    let rows = rows.flat_map(|(_, rows)| *rows);
    rows.fold(format!("{table}\n"), |mut text, row| {
        let _ = writeln!(text, "{} = {}", row.name, other_value(table, row.name));
        text
    })
}

/// A host with two functions and few other settings.
fn little() -> String {
    let echo = openline_guests::ECHO;
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndata = \"data\"\n\
         [[function]]\nname = \"f\"\ncomponent = {echo:?}\nroute = \"/f/{{room}}\"\n\
         [[function]]\nname = \"before\"\ncomponent = {echo:?}\nroute = \"/bounded\"\n"
    )
}

/// The same with another value for every key.
fn much() -> String {
    let echo = openline_guests::FAULT_LISTENER_ASYNC;
    let server = other_limits("[server]");
    let api = other_limits("[server.api]");
    let (instance, limit) = (
        other_limits("[function.instance]"),
        other_limits("[function.limit]"),
    );
    format!(
        "{server}listen = \"[::1]:0\"\npublic_url = \"https://edge.example.org\"\nadmin = \"[::1]:0\"\nprobes = \"[::1]:0\"\nadmin_token = \"{TOKEN}\"\n\
         trusted_hops = [\"10.0.0.0/8\"]\nhop_header = \"forwarded\"\nproxy_protocol = \"hops\"\n\
         page = \"off\"\ndata = \"other-data\"\ncache = \"other-cache\"\n\
         firewall = \"edge\"\nprivate_networks = []\nshared_hosts = [\"shared.example.org\"]\n\
         acme_listen = \"[::1]:0\"\n\
         [server.tls]\nmin_version = \"1.3\"\nclient_certificates = \"optional\"\n\
         client_authorities = \"authority.pem\"\n\
         [server.tls.acme]\nhosts = [\"localhost\"]\nterms_agreed = true\nchallenge = \"http-01\"\n\
         directory = \"https://127.0.0.1:1/\"\nca_file = \"authority.pem\"\ncontact = [\"a@example.org\"]\n\
         external_account = \"mine\"\nexternal_account_key_file = \"external-key\"\n\
         {api}listen = \"[::1]:0\"\nhosts = [\"push.example.org\"]\nprotocols = [\"grip\"]\nfunction = \"f\"\n\
         [[server.certificate]]\ncertificate = \"host.pem\"\nkey = \"host-key.pem\"\ndefault = true\n\
         listeners = [\"listen\", \"probes\"]\n\
         [[key]]\nname = \"web\"\nscopes = [\"publish\"]\nsecret = \"file:external-key\"\n\
         [[firewall]]\nname = \"edge\"\n\
         [[channel]]\npattern = \"all:*\"\npresence = true\n\
         [maximum.limit]\ntags = 9\n[maximum.instance]\nhandles = 9999\n\
         [[function]]\nname = \"f\"\ncomponent = {echo:?}\nroute = \"/g/{{room}}\"\n\
         alias = \"other\"\nmigration = \"pin\"\n\
         {instance}affinity = \"room\"\nbackoff = \"refuse\"\n\
         {limit}compression = \"shared\"\noutbox_overflow = \"drop-newest\"\nrate_exceeded = \"close\"\ntime_up = \"abort\"\n\
         time_warning_message = \"soon\"\n\
         [function.outbound]\nhosts = [\"api.example.org\"]\nroots = [\"authority.pem\"]\n\
         [[function.trigger]]\nroute = \"/t/{{room}}\"\nalias = \"live\"\n\
         [[function.trigger]]\nroute = \"/v/{{room}}\"\nversion = \"000000\"\nfirewall = \"edge\"\n\
         [[function.auto_response]]\ntext = \"a\"\nreply = \"b\"\nmatch = \"prefix\"\n\
         [[function.auto_response]]\nbinary_hex = \"00\"\nreply_hex = \"01\"\n\
         [[function.channel]]\npattern = \"room:*\"\nhistory = {{}}\n\
         [[function.subscription]]\npattern = \"room:*\"\nown = true\n\
         [function.environment]\nGREETING = \"hello\"\n\
         [function.secrets]\nTOKEN = \"file:external-key\"\n\
         [[function]]\nname = \"after\"\ncomponent = {echo:?}\nroute = \"/bounded\"\n"
    )
}

struct Configured {
    folder: TempDir,
    host: Serving,
    admin: String,
}

impl Configured {
    async fn start(folder: TempDir) -> Self {
        let path = folder.path().join("openline.toml");
        let mut host = Serving::start(&["serve", "--config", path.to_str().unwrap()]).await;
        let admin = host.admin().await;
        Self {
            folder,
            host,
            admin,
        }
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.path().join("openline.toml"), text).unwrap();
    }

    /// Makes the host read the file again, and returns what it reports.
    async fn read_again(&mut self) -> Vec<String> {
        self.host.signal("HUP").await;
        let mut lines = Vec::new();
        loop {
            let line = self.host.line().await;
            assert!(!line.contains("not reloaded"), "{lines:#?}");
            if line.contains("reloaded: ") {
                return lines;
            }
            lines.push(line);
        }
    }

    async fn start_again(self) -> Self {
        let Self { folder, host, .. } = self;
        host.signal("TERM").await;
        assert_eq!(host.ended().await.0.code(), Some(0));
        Self::start(folder).await
    }

    async fn connect(&self, path: &str) -> Client {
        Client::open(self.host.address, path, &[]).await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let mut raw = Raw::connect(self.admin.parse().unwrap()).await;
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n",
            self.admin
        );
        raw.send(head.as_bytes()).await;
        let got = raw.answer().await;
        assert_eq!(got.status, 200, "{}", got.head);
        got.value()
    }

    /// The value in force of each key, by table and name.
    async fn in_force(&self) -> BTreeMap<(&'static str, &'static str), String> {
        let config = self.get("/v1/config").await;
        let functions = config["functions"].as_array().unwrap();
        let named = |name: &str| functions.iter().find(|it| it["name"] == name);
        let function = named("f").unwrap();
        let bounded = named("before").or(named("after")).unwrap();
        let api_keys = self.get("/v1/keys").await;
        let mut found = BTreeMap::new();
        for (table, rows) in TABLES {
            let view = match table {
                "[server]" => &config["server"]["limits"],
                "[server.api]" => &config["server"]["api"]["limits"],
                "[function.limit]" => &function["limit"]["limits"],
                "[function.instance]" => &function["instance"]["limits"],
                _ => panic!("a new table, {table}"),
            };
            let limits = view.as_array().unwrap();
            for row in rows {
                let limit = limits.iter().find(|limit| limit["name"] == row.name);
                found.insert((table, row.name), limit.unwrap()["value"].to_string());
            }
        }
        for key in keys() {
            let value = match (key.table, key.name) {
                ("[server]", name) => &config["server"][name],
                ("[server.api]", name) => &config["server"]["api"][name],
                ("[server.tls]", name) => &config["server"]["tls"][name],
                ("[server.tls.acme]", name) => &config["server"]["tls"]["acme"][name],
                ("[[server.certificate]]", _) => &config["server"]["certificates"],
                ("[[key]]", _) => &api_keys["keys"],
                ("[[function]]", "name") => &bounded["name"],
                ("[[function]]", "route") => &function["triggers"][0]["route"],
                ("[[function]]", name) => &function[name],
                (table, _) if table.contains("function.trigger") => &function["triggers"],
                ("[[function.auto_response]]", _) => &function["auto_responses"],
                (table, _) if table.contains("function.channel") => &function["channels"],
                ("[[function.subscription]]", _) => &function["subscriptions"],
                (table, _) if table.contains("channel") => &config["channels"],
                ("[function.outbound]", name) => &function["outbound"][name],
                ("[function.limit]", name) => &function["limit"][name],
                ("[function.instance]", name) => &function["instance"][name],
                ("[maximum.limit]", _) => &bounded["limit"]["limits"],
                ("[maximum.instance]", _) => &bounded["instance"]["limits"],
                (table, name) => panic!("a new key, {table} {name}"),
            };
            found.insert((key.table, key.name), value.to_string());
        }
        found
    }
}

#[tokio::test]
async fn every_key_takes_effect_when_the_tables_say() {
    let authority = Authority::new();
    authority.write("host", &["localhost"]);
    let folder = authority.folder;
    fs::write(
        folder.path().join("external-key"),
        "a2V5a2V5a2V5a2V5a2V5a2V5",
    )
    .unwrap();
    fs::write(folder.path().join("openline.toml"), little()).unwrap();
    let mut configured = Configured::start(folder).await;
    let before = configured.in_force().await;

    configured.write(&much());
    let told = configured.read_again().await;
    let after = configured.in_force().await;
    for ((table, name), value) in &before {
        let effect = effect_of(table, name).unwrap();
        let waits = effect == Effect::NextStart;
        let has_changed = after[&(*table, *name)] != *value;
        assert_eq!(has_changed, !waits, "{table} {name}: {effect}");
        let words =
            format!("`{name}` in [server] has changed and takes effect when the host starts");
        let is_told = told.iter().any(|line| line.contains(&words));
        if *table == "[server]" {
            assert_eq!(is_told, waits, "{name}: {told:#?}");
        }
    }

    let configured = configured.start_again().await;
    let restarted = configured.in_force().await;
    for (key, value) in &before {
        assert_ne!(restarted[key], *value, "{key:?} after a restart");
    }
    // Values that were already in force are the same afterwards.
    for ((table, name), value) in &after {
        if effect_of(table, name) != Some(Effect::NextStart) {
            assert_eq!(restarted[&(*table, *name)], *value, "{table} {name}");
        }
    }
}

/// A key whose value an answer of the keeper shows.
struct Probe {
    table: &'static str,
    name: &'static str,
    /// The text in the file, before and after.
    values: [&'static str; 2],
    /// The message to the keeper, whose answer differs afterwards.
    command: &'static str,
}

const fn probe(
    table: &'static str,
    name: &'static str,
    values: [&'static str; 2],
    command: &'static str,
) -> Probe {
    Probe {
        table,
        name,
        values,
        command,
    }
}

const LIMIT: &str = "[function.limit]";
const INSTANCE: &str = "[function.instance]";
const FUNCTION: &str = "[[function]]";
const ANSWER: &str = "[[function.auto_response]]";

const PROBES: [Probe; 10] = [
    probe(
        LIMIT,
        "attachment_bytes",
        ["\"3 B\"", "\"9 B\""],
        "attach 12345",
    ),
    probe(LIMIT, "tags", ["1", "2"], "tag a b"),
    probe(LIMIT, "auto_responses", ["1", "2"], "autos 2"),
    probe(LIMIT, "state_bytes", ["\"3 B\"", "\"9 B\""], "save 12345"),
    // The number of the instance, which is another one.
    probe(
        LIMIT,
        "fuel_per_event",
        ["900000000", "800000000"],
        "instance",
    ),
    probe(INSTANCE, "handles", ["100", "99"], "instance"),
    probe(INSTANCE, "backoff", ["\"wait\"", "\"refuse\""], "instance"),
    probe(
        FUNCTION,
        "environment",
        ["{ A = \"1\" }", "{ A = \"2\" }"],
        "instance",
    ),
    probe(
        FUNCTION,
        "secrets",
        ["{ A = \"env:PATH\" }", "{ B = \"env:PATH\" }"],
        "instance",
    ),
    probe(ANSWER, "reply", ["\"old\"", "\"new\""], "automatic"),
];

impl Probe {
    /// The file with one value of the key.
    fn file(&self, value: &str) -> String {
        let line = format!("{} = {value}\n", self.name);
        let of = |table: &str| if self.table == table { &*line } else { "" };
        let (instance, limit) = (of("[function.instance]"), of("[function.limit]"));
        let function = of(FUNCTION);
        let answer = match of("[[function.auto_response]]") {
            "" => String::new(),
            line => format!("[[function.auto_response]]\ntext = \"automatic\"\n{line}"),
        };
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndata = \"data\"\n\
             [[function]]\nname = \"keeper\"\ncomponent = {:?}\nroute = \"/keeper\"\n{function}\
             [function.instance]\n{instance}[function.limit]\n{limit}{answer}",
            openline_guests::FAULT_KEEPER
        )
    }
}

#[tokio::test]
async fn open_and_new_connections_meet_a_changed_value_as_the_tables_say() {
    let folder = TempDir::new().unwrap();
    fs::write(
        folder.path().join("openline.toml"),
        PROBES[0].file("\"3 B\""),
    )
    .unwrap();
    let mut configured = Configured::start(folder).await;
    for probe in &PROBES {
        let (name, [before, then]) = (probe.name, probe.values);
        configured.write(&probe.file(before));
        configured.read_again().await;
        let mut open = configured.connect("/keeper").await;
        let answer = open.ask(probe.command).await;
        configured.write(&probe.file(then));
        configured.read_again().await;
        let mut new = configured.connect("/keeper").await;
        assert_ne!(new.ask(probe.command).await, answer, "{name}: a new one");
        let meets_it = open.ask(probe.command).await != answer;
        let effect = effect_of(probe.table, name).unwrap();
        assert_eq!(
            meets_it,
            effect != Effect::NewConnections,
            "{name}: {effect}"
        );
    }
}

#[tokio::test]
async fn a_changed_migration_is_that_of_the_next_deploy_and_of_the_next_start() {
    let folder = TempDir::new().unwrap();
    let file = |migration: &str, component: &str| {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndata = \"data\"\n\
             [[function]]\nname = \"f\"\ncomponent = {component:?}\nroute = \"/f\"\n\
             migration = \"{migration}\"\n"
        )
    };
    let (a, b) = (
        openline_guests::FAULT_VERSION_A,
        openline_guests::FAULT_VERSION_B,
    );
    fs::write(folder.path().join("openline.toml"), file("migrate", a)).unwrap();
    let mut configured = Configured::start(folder).await;
    let shown = async |configured: &Configured| {
        let function = configured.get("/v1/functions/f").await;
        function["aliases"]["live"]["migration"].clone()
    };
    assert_eq!(shown(&configured).await, "migrate");
    configured.write(&file("pin", a));
    configured.read_again().await;
    assert_eq!(shown(&configured).await, "pin");
    // A connection stays with its version, according to the new file.
    let mut client = configured.connect("/f").await;
    let version = client.ask("which").await;
    configured.write(&file("pin", b));
    configured.read_again().await;
    assert_eq!(client.ask("which").await, version);
    // It goes on to the next version as soon as the file says so.
    configured.write(&file("migrate", b));
    configured.read_again().await;
    assert_ne!(client.ask("which").await, version);

    configured.write(&file("drain", b));
    let configured = configured.start_again().await;
    assert_eq!(shown(&configured).await, "drain");
}

#[tokio::test]
async fn a_token_is_changed_without_a_new_start() {
    let folder = TempDir::new().unwrap();
    let file = |token: &str| {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndata = \"data\"\n\
             admin_token = \"{token}\"\n"
        )
    };
    fs::write(
        folder.path().join("openline.toml"),
        file("fedcba9876543210"),
    )
    .unwrap();
    let mut configured = Configured::start(folder).await;
    let status = async |configured: &Configured| {
        let mut raw = Raw::connect(configured.admin.parse().unwrap()).await;
        let head = format!(
            "GET /v1/functions HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n",
            configured.admin
        );
        raw.send(head.as_bytes()).await;
        raw.answer().await.status
    };
    assert_eq!(status(&configured).await, 401);
    configured.write(&file(TOKEN));
    configured.read_again().await;
    assert_eq!(status(&configured).await, 200);
}
