//! A function of Function Compute 3.0, and a custom domain: what of them has a
//! counterpart, and why the rest has none.

use openline_core::environment::EnvironmentTable;

use super::authentication::{self, Auth};
use super::values::{Document, Table, list};
use super::yaml::Node;
use super::{Wrong, environment};

/// A function, as far as it can be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Function {
    /// Where it is in the file.
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) triggers: Vec<HttpTrigger>,
    /// Its routes on custom domains.
    pub(super) routes: Vec<DomainRoute>,
    pub(super) affinity: Option<String>,
    pub(super) concurrency: Option<u64>,
    pub(super) instances: Option<u64>,
    pub(super) connection_seconds: Option<u64>,
    pub(super) memory_mebibytes: Option<u64>,
    pub(super) environment: EnvironmentTable,
}

/// An HTTP trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpTrigger {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) methods: Vec<String>,
    pub(super) internet: bool,
    pub(super) qualifier: Option<String>,
    pub(super) auth: Auth,
}

/// A route of a custom domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DomainRoute {
    pub(super) line: usize,
    pub(super) domain: String,
    pub(super) path: String,
    pub(super) methods: Vec<String>,
    pub(super) qualifier: Option<String>,
    /// That of the domain; the trigger's if it has none.
    pub(super) auth: Option<Auth>,
    /// The function that it leads to, on a domain of its own.
    pub(super) function: Option<String>,
}

/// Keys without a counterpart, and why.
const WITHOUT: &[(&str, &str)] = &[
    ("region", "a host is where it runs"),
    (
        "code",
        "write the function as a component, and deploy it with `openline deploy`",
    ),
    ("runtime", "functions are WebAssembly components"),
    ("handler", "a component exports its handlers"),
    (
        "cpu",
        "all instances share the host's CPUs; `cpu_timeout` bounds one call",
    ),
    ("diskSize", "a function has no disk"),
    ("gpuConfig", "a function has no GPU"),
    (
        "instanceLifecycleConfig",
        "a component starts when its first connection comes, and `hibernate` is called before an instance ends",
    ),
    (
        "internetAccess",
        "a function opens no connections of its own",
    ),
    ("vpcConfig", "a function opens no connections of its own"),
    (
        "vpcBinding",
        "`private_networks` and `internet = false` limit access to private networks",
    ),
    ("nasConfig", "a function has no file system"),
    ("ossMountConfig", "a function has no file system"),
    ("layers", "a component has all its code in it"),
    ("role", "a function asks no other service"),
    ("logConfig", "what a function prints is in the host's log"),
    ("tracingConfig", "there are no traces"),
    (
        "customRuntimeConfig",
        "functions are WebAssembly components",
    ),
    (
        "customContainerConfig",
        "functions are WebAssembly components",
    ),
    ("customDNS", "a function opens no connections of its own"),
    (
        "asyncInvokeConfig",
        "functions are called for connections only",
    ),
    (
        "provisionConfig",
        "an instance starts within microseconds, so none is kept ready",
    ),
    (
        "scalingConfig",
        "an instance starts within microseconds, so none is kept ready",
    ),
    ("tags", "functions have none"),
    ("resourceGroupId", "functions have none"),
];

/// Why a key is left out.
fn why(key: &str) -> &'static str {
    let known = WITHOUT.iter().find(|(name, _)| *name == key);
    known.map_or("it is not known here", |(_, why)| why)
}

/// Notes all that nothing has taken.
fn note_rest(document: &mut Document<'_>, table: &Table<'_>, about: &str) {
    for entry in table.rest() {
        let text = format!("`{}` of {about}: {}", entry.key, why(&entry.key));
        document.left_out(entry.line, text);
    }
}

/// Reads the properties of a function.
pub(super) fn function(document: &mut Document<'_>, props: &Node) -> Result<Function, Wrong> {
    let mut table = Table::of(props, "props")?;
    // Early files have the function's own keys in a map of their own.
    let inner = table.take("function");
    let mut own = inner.map(|it| Table::of(it, "function")).transpose()?;
    let mut function = Function {
        line: props.line,
        ..Function::default()
    };
    {
        let table = own.as_mut().unwrap_or(&mut table);
        let name = table.needed("functionName", "a function")?;
        function.name = document.text(name, "functionName")?;
        function.line = name.line;
        let about = format!("`{}`", function.name);
        let description = table.take("description");
        let description = description.map(|it| document.text(it, "description"));
        function.description = description.transpose()?;
        limits(document, table, &mut function, &about)?;
        affinity(document, table, &mut function, &about)?;
        if let Some(node) = table.take("environmentVariables") {
            function.environment = environment::read(document, node, &about)?;
        }
    }
    let about = format!("`{}`", function.name);
    if let Some(triggers) = table.take("triggers") {
        for node in list(triggers, "triggers")? {
            function.triggers.extend(trigger(document, node, &about)?);
        }
    }
    if let Some(node) = table.take("customDomain") {
        function.routes = own_domain(document, node, &about)?;
    }
    if let Some(own) = &own {
        note_rest(document, own, &about);
    }
    note_rest(document, &table, &about);
    Ok(function)
}

/// Times, sizes and numbers.
fn limits(
    document: &mut Document<'_>,
    table: &mut Table<'_>,
    function: &mut Function,
    about: &str,
) -> Result<(), Wrong> {
    if let Some(node) = table.take("timeout") {
        function.connection_seconds = Some(document.number(node, "timeout")?);
    }
    if let Some(node) = table.take("memorySize") {
        let mebibytes = document.number(node, "memorySize")?;
        function.memory_mebibytes = Some(mebibytes.min(4096));
        if mebibytes > 4096 {
            let text = format!("`memorySize` of {about}: an instance has at most 4 GiB");
            document.differs(node.line, text);
        }
    }
    if let Some(node) = table.take("instanceConcurrency") {
        function.concurrency = Some(document.number(node, "instanceConcurrency")?);
    }
    if let Some(node) = table.take("concurrencyConfig") {
        let mut config = Table::of(node, "concurrencyConfig")?;
        if let Some(node) = config.take("reservedConcurrency") {
            match document.number(node, "reservedConcurrency")? {
                0 => {
                    let text = format!(
                        "`reservedConcurrency: 0` of {about}: remove the function to stop it"
                    );
                    document.left_out(node.line, text);
                }
                instances => function.instances = Some(instances),
            }
        }
        note_rest(document, &config, about);
    }
    Ok(())
}

/// The part of a request that chooses the instance.
fn affinity(
    document: &mut Document<'_>,
    table: &mut Table<'_>,
    function: &mut Function,
    about: &str,
) -> Result<(), Wrong> {
    let config = table.take("sessionAffinityConfig");
    let Some(kind) = table.take("sessionAffinity") else {
        return Ok(());
    };
    let embedded = config
        .map(|node| document.embedded(node, "sessionAffinityConfig"))
        .transpose()?;
    let line = config.map_or(kind.line, |node| node.line);
    let mut config = embedded
        .as_deref()
        .map(|node| Table::of(node, "sessionAffinityConfig"))
        .transpose()?;
    let mut text = |document: &Document<'_>, key: &str| {
        let node = config.as_mut().and_then(|config| config.take(key));
        node.map(|node| document.text(node, key)).transpose()
    };
    match &*document.text(kind, "sessionAffinity")? {
        "GENERATED_COOKIE" => function.affinity = Some("cookie:openline-affinity".into()),
        "HEADER_FIELD" => {
            let name = text(document, "affinityHeaderFieldName")?.ok_or_else(|| {
                let what = format!("`sessionAffinity: HEADER_FIELD` of {about} names no header");
                let hint = "add `affinityHeaderFieldName` to `sessionAffinityConfig`";
                Wrong::new(kind.line, what, hint)
            })?;
            function.affinity = Some(format!("header:{name}"));
            let note = format!(
                "`HEADER_FIELD` of {about}: a request without the header is refused, because the host makes no ids for it"
            );
            document.differs(kind.line, note);
        }
        "NONE" => {}
        other => {
            let note = format!(
                "`sessionAffinity: {other}` of {about}: only cookies, headers, queries, routes and claims choose instances"
            );
            document.left_out(kind.line, note);
        }
    }
    if let Some(sessions) = text(document, "sessionConcurrencyPerInstance")? {
        let sessions = sessions.parse().map_err(|_| {
            let what = "`sessionConcurrencyPerInstance` is not a whole number";
            Wrong::new(line, what, "as in `20`")
        })?;
        function.concurrency = Some(sessions);
    }
    for key in config.iter().flat_map(Table::rest).map(|entry| &entry.key) {
        let note = format!(
            "`{key}` of `sessionAffinityConfig` of {about}: an instance ends when it is idle, and a connection keeps its affinity as long as it is open"
        );
        document.left_out(line, note);
    }
    Ok(())
}

/// Reads a trigger; `None` if it is not an HTTP trigger.
fn trigger(
    document: &mut Document<'_>,
    node: &Node,
    about: &str,
) -> Result<Option<HttpTrigger>, Wrong> {
    let mut table = Table::of(node, "a trigger")?;
    let name = table.needed("triggerName", "a trigger")?;
    let name = document.text(name, "triggerName")?;
    let kind = document.text(table.needed("triggerType", "a trigger")?, "triggerType")?;
    if kind != "http" {
        let text =
            format!("the trigger `{name}` of {about}: `{kind}` is no way to open a connection");
        document.left_out(table.line, text);
        return Ok(None);
    }
    table.take("description");
    let qualifier = qualifier(document, &mut table)?;
    let of = format!("the trigger `{name}` of {about}");
    let mut config = Table::of(table.needed("triggerConfig", "a trigger")?, "triggerConfig")?;
    let auth = authentication::read(document, &mut config, "authConfig", &of)?;
    let methods = config.take("methods");
    let methods = methods
        .map(|it| document.texts(it, "methods"))
        .transpose()?;
    let closed = config.take("disableURLInternet");
    let closed = closed
        .map(|it| document.truth(it, "disableURLInternet"))
        .transpose()?;
    note_rest(document, &config, &of);
    note_rest(document, &table, &of);
    Ok(Some(HttpTrigger {
        line: node.line,
        name,
        methods: methods.unwrap_or_default(),
        internet: !closed.unwrap_or(false),
        qualifier,
        auth: auth.unwrap_or(Auth::Anonymous),
    }))
}

/// The alias that something leads to; `None` for the latest version.
fn qualifier(document: &Document<'_>, table: &mut Table<'_>) -> Result<Option<String>, Wrong> {
    let node = table.take("qualifier");
    let text = node
        .map(|node| document.text(node, "qualifier"))
        .transpose()?;
    Ok(text.filter(|it| it != "LATEST"))
}

/// The custom domain among the properties of a function.
fn own_domain(
    document: &mut Document<'_>,
    node: &Node,
    about: &str,
) -> Result<Vec<DomainRoute>, Wrong> {
    let mut table = Table::of(node, "customDomain")?;
    let (domain, auth) = domain(document, &mut table, about)?;
    let routes = match table.take("route") {
        Some(node) => vec![route(document, node, (&domain, &auth), about)?],
        None => Vec::new(),
    };
    note_rest(document, &table, &format!("the domain of {about}"));
    if domain == "auto" {
        let text = format!(
            "`domainName: auto` of {about}: point a name at the host, and write it as `hosts`"
        );
        document.differs(node.line, text);
    }
    Ok(routes)
}

/// Reads the properties of a custom domain.
pub(super) fn custom_domain(
    document: &mut Document<'_>,
    props: &Node,
) -> Result<Vec<DomainRoute>, Wrong> {
    let mut table = Table::of(props, "props")?;
    table.take("region");
    let (name, auth) = domain(document, &mut table, "a custom domain")?;
    let about = format!("the domain `{name}`");
    let mut config = Table::of(table.needed("routeConfig", &about)?, "routeConfig")?;
    let mut routes = Vec::new();
    for node in list(config.needed("routes", "`routeConfig`")?, "routes")? {
        routes.push(route(document, node, (&name, &auth), &about)?);
    }
    note_rest(document, &table, &about);
    Ok(routes)
}

/// Its name, and how it authenticates.
fn domain(
    document: &mut Document<'_>,
    table: &mut Table<'_>,
    about: &str,
) -> Result<(String, Option<Auth>), Wrong> {
    let name = document.text(table.needed("domainName", about)?, "domainName")?;
    let of = format!("the domain `{name}`");
    if let Some(protocol) = table.take("protocol")
        && document.text(protocol, "protocol")?.contains("HTTPS")
    {
        let text = format!(
            "`protocol` of {of}: give the host a certificate with [[server.certificate]], or with [server.tls.acme]"
        );
        document.differs(protocol.line, text);
    }
    for (key, instead) in [
        (
            "certConfig",
            "write the certificate and its key to files, and name them in [[server.certificate]]",
        ),
        (
            "tlsConfig",
            "`min_version` of [server.tls] bounds the version of TLS",
        ),
        ("wafConfig", "the host has firewall rules of its own"),
        (
            "corsConfig",
            "`cors` of a trigger says what pages of other sites may do",
        ),
    ] {
        if let Some(node) = table.take(key) {
            document.left_out(node.line, format!("`{key}` of {of}: {instead}"));
        }
    }
    let mut auth = None;
    if let Some(node) = table.take("authConfig") {
        let mut config = Table::of(node, "authConfig")?;
        auth = authentication::read(document, &mut config, "authInfo", &of)?;
        note_rest(document, &config, &of);
    }
    Ok((name, auth))
}

fn route(
    document: &mut Document<'_>,
    node: &Node,
    (domain, auth): (&str, &Option<Auth>),
    about: &str,
) -> Result<DomainRoute, Wrong> {
    let mut table = Table::of(node, "a route")?;
    let path = document.text(table.needed("path", "a route")?, "path")?;
    let function = table.take("functionName");
    let function = function
        .map(|it| document.text(it, "functionName"))
        .transpose()?;
    let methods = table.take("methods");
    let methods = methods
        .map(|it| document.texts(it, "methods"))
        .transpose()?;
    let qualifier = qualifier(document, &mut table)?;
    if let Some(node) = table.take("rewriteConfig") {
        let text =
            format!("`rewriteConfig` of {about}: a function gets the path that was asked for");
        document.left_out(node.line, text);
    }
    note_rest(document, &table, about);
    Ok(DomainRoute {
        line: node.line,
        domain: domain.to_owned(),
        path,
        methods: methods.unwrap_or_default(),
        qualifier,
        auth: auth.clone(),
        function,
    })
}
