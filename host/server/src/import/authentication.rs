//! `authType` and `authConfig` of a trigger, or of a custom domain.

use openline_core::authentication::{ClaimPass, Lookup};

use super::Wrong;
use super::values::{Document, Table, list};
use super::yaml::{Node, Value};

/// How a trigger authenticates, as it is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    /// `anonymous`.
    Anonymous,
    /// `function`: by a signature.
    Function,
    /// `jwt`.
    Jwt(Box<Jwt>),
}

/// A table of tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Jwt {
    /// Each with its parameters in their order.
    pub(super) keys: Vec<Vec<(String, Parameter)>>,
    /// Where the token is, as text.
    pub(super) lookup: Option<String>,
    /// Which claims are passed on.
    pub(super) claims: String,
    /// The paths that are not checked.
    pub(super) unchecked: Vec<String>,
    /// The only ones that are.
    pub(super) checked: Vec<String>,
}

/// A parameter of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    Text(String),
    List(Vec<String>),
}

/// Reads both keys; no `authType` means `anonymous`.
pub(super) fn read(
    document: &mut Document<'_>,
    table: &mut Table<'_>,
    config_key: &str,
    about: &str,
) -> Result<Option<Auth>, Wrong> {
    let Some(kind) = table.take("authType") else {
        return Ok(None);
    };
    let config = table.take(config_key);
    match &*document.text(kind, "authType")? {
        "anonymous" => Ok(Some(Auth::Anonymous)),
        "function" => {
            let text = format!(
                "`authType: function` of {about}: the access keys of your account are not in the file. Write the id of one in the place of `access-key-id`, and give its secret in the variable FC_ACCESS_KEY_SECRET"
            );
            document.differs(kind.line, text);
            Ok(Some(Auth::Function))
        }
        "jwt" => {
            let Some(config) = config else {
                let what = format!("`authType: jwt` of {about} has no `{config_key}`");
                let hint = "it has the `jwks` that verify the tokens";
                return Err(Wrong::new(kind.line, what, hint));
            };
            let config = document.embedded(config, config_key)?;
            let jwt = jwt(document, &config, about)?;
            Ok(Some(Auth::Jwt(Box::new(jwt))))
        }
        other => {
            let what = format!("`{other}` is no `authType` of {about}");
            let hint = "one of `anonymous`, `function` and `jwt`";
            Err(Wrong::new(kind.line, what, hint))
        }
    }
}

fn jwt(document: &mut Document<'_>, node: &Node, about: &str) -> Result<Jwt, Wrong> {
    let mut table = Table::of(node, "authConfig")?;
    let jwks = table.needed("jwks", "`authConfig`")?;
    let mut jwt = Jwt {
        // What Function Compute does if nothing else is said.
        claims: "query::".into(),
        ..Jwt::default()
    };
    for key in list(Table::of(jwks, "jwks")?.needed("keys", "`jwks`")?, "keys")? {
        jwt.keys.push(parameters(document, key)?);
    }
    if let Some(node) = table.take("tokenLookup") {
        jwt.lookup = lookup(document, node, about)?;
    }
    if let Some(node) = table.take("claimPassBy") {
        jwt.claims = claims(document, node, about)?;
    }
    for (keys, paths) in [
        (["whitelist", "whiteList"], &mut jwt.unchecked),
        (["blacklist", "blackList"], &mut jwt.checked),
    ] {
        for key in keys {
            if let Some(node) = table.take(key) {
                *paths = document.texts(node, key)?;
            }
        }
    }
    if !jwt.unchecked.is_empty() && !jwt.checked.is_empty() {
        let what = format!("{about} has a whitelist and a blacklist");
        let hint = "keep one: the whitelist is not checked, or the blacklist alone is";
        return Err(Wrong::new(table.line, what, hint));
    }
    for entry in table.rest() {
        document.left_out(
            entry.line,
            format!("`{}` of {about}: it is not known here", entry.key),
        );
    }
    Ok(jwt)
}

/// `tokenLookup` as a text; `None` if nothing of it is left.
fn lookup(
    document: &mut Document<'_>,
    lookup: &Node,
    about: &str,
) -> Result<Option<String>, Wrong> {
    let words = places(document, lookup, "tokenLookup", about, |document, entry| {
        let mut entry = Table::of(entry, "tokenLookup")?;
        let mut word = |key: &str| -> Result<String, Wrong> {
            document.text(entry.needed(key, "an entry of `tokenLookup`")?, key)
        };
        let (place, name) = (word("readPosition")?, word("parameterName")?);
        let prefix = entry.take("prefix");
        let prefix = prefix.map(|it| document.text(it, "prefix")).transpose()?;
        let prefix = prefix.map_or_else(String::new, |prefix| format!(":{prefix}"));
        Ok(format!("{place}:{name}{prefix}"))
    })?;
    let text = words.join(",");
    if !text.is_empty() {
        Lookup::parse(&text).map_err(|error| {
            let hint = "as in `header:Authorization:Bearer ,cookie:token,query:access_token`";
            Wrong::new(lookup.line, format!("`tokenLookup`: {error}"), hint)
        })?;
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// `claimPassBy` as a text.
fn claims(document: &mut Document<'_>, pass: &Node, about: &str) -> Result<String, Wrong> {
    let words = places(document, pass, "claimPassBy", about, |document, entry| {
        let mut entry = Table::of(entry, "claimPassBy")?;
        let claim = entry.take("claimName");
        let claim = claim.map(|it| document.text(it, "claimName")).transpose()?;
        let mut word = |key: &str| -> Result<String, Wrong> {
            document.text(entry.needed(key, "an entry of `claimPassBy`")?, key)
        };
        let (position, name) = (
            word("mappingParameterPosition")?,
            word("mappingParameterName")?,
        );
        Ok(format!("{position}:{}:{name}", claim.unwrap_or_default()))
    })?;
    let text = words.join(",");
    if !text.is_empty() {
        ClaimPass::parse(&text).map_err(|error| {
            let hint = "as in `header:sub:x-user,query:role:role`";
            Wrong::new(pass.line, format!("`claimPassBy`: {error}"), hint)
        })?;
    }
    Ok(text)
}

/// The entries of a list that is also written as a text with commas, without
/// those for the fields of a form: a handshake has no body.
fn places(
    document: &mut Document<'_>,
    node: &Node,
    name: &str,
    about: &str,
    entry: impl Fn(&Document<'_>, &Node) -> Result<String, Wrong>,
) -> Result<Vec<String>, Wrong> {
    let words: Vec<(usize, String)> = match &node.value {
        Value::List(entries) => {
            let read = |each: &Node| Ok((each.line, entry(document, each)?));
            entries.iter().map(read).collect::<Result<_, Wrong>>()?
        }
        _ => {
            let text = document.text(node, name)?;
            let words = text.split(',').map(|word| (node.line, word.to_owned()));
            words.collect()
        }
    };
    let mut kept = Vec::new();
    for (line, word) in words {
        if word.trim_start().starts_with("form:") {
            let text = format!(
                "`{}` in `{name}` of {about}: the request for a WebSocket has no form",
                word.trim()
            );
            document.left_out(line, text);
        } else {
            kept.push(word);
        }
    }
    Ok(kept)
}

/// The parameters of a JSON Web Key.
fn parameters(document: &Document<'_>, key: &Node) -> Result<Vec<(String, Parameter)>, Wrong> {
    let table = Table::of(key, "a key of `jwks`")?;
    let mut parameters = Vec::new();
    for entry in table.rest() {
        let value = match &entry.node.value {
            Value::List(_) => Parameter::List(document.texts(&entry.node, &entry.key)?),
            Value::Nothing => continue,
            _ => Parameter::Text(document.text(&entry.node, &entry.key)?),
        };
        parameters.push((entry.key.clone(), value));
    }
    Ok(parameters)
}
