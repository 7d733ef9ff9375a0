//! `openline sign`: the headers that sign a request, or a pre-signed URL. It
//! asks no host.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::Uri;
use http::uri::Authority;
use openline_admission::authenticate::now;
use openline_authentication::Secret;
use openline_authentication::signature::{SignError, Signing, fresh_nonce};
use openline_core::authentication::{SecretSource, SignatureForm, UnixTime};
use openline_core::units::Period;
use openline_hint::Hinted;
use serde_json::{Map, Value, json};

use crate::telemetry::print;

const EXAMPLES: &str = "\
Examples:
  openline sign wss://chat.example.org/chat/lobby --id ak1 --secret env:CHAT_SECRET
  openline sign wss://chat.example.org/chat/lobby --id ak1 --secret file:chat.key --form acs3
  openline sign wss://chat.example.org/chat/lobby --id ak1 --secret env:CHAT_SECRET --presign 10min --once";

/// How much of a secret's file is read: one more than is taken.
const SECRET_BYTES_MAX: u64 = (64 << 10) + 1;

/// The words after `openline sign`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SignArguments {
    /// The address that is asked, with its query
    #[arg(value_name = "URL")]
    url: Uri,
    /// The id of the key
    #[arg(long, value_name = "ID")]
    id: String,
    /// The place of its secret: env:NAME or file:PATH
    #[arg(long, value_name = "PLACE", value_parser = place)]
    secret: SecretSource,
    /// The place of the token of a temporary key
    #[arg(long, value_name = "PLACE", value_parser = place)]
    security_token: Option<SecretSource>,
    /// The form of the signature
    #[arg(long, value_enum, default_value_t = Form::Openline)]
    form: Form,
    /// A header that is signed as well, as in x-user:ann; may be repeated
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Make a URL that is good for this long, as in 10min, instead of headers
    #[arg(long, value_name = "TIME", value_parser = period, conflicts_with = "headers")]
    presign: Option<Duration>,
    /// The URL is good once
    #[arg(long, requires = "presign")]
    once: bool,
    /// The moment of the signature, as in 2026-12-31T23:59:59Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    date: Option<UnixTime>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// A form of signature, as a word.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// Openline's own
    Openline,
    /// Function Compute 2.0
    Fc,
    /// Alibaba Cloud, version 3
    Acs3,
}

fn place(text: &str) -> Result<SecretSource, String> {
    SecretSource::parse(text).map_err(|error| error.to_string())
}

fn period(text: &str) -> Result<Duration, String> {
    let period = Period::parse(text).map_err(|error| error.to_string());
    period.map(|period| period.0)
}

fn moment(text: &str) -> Result<UnixTime, String> {
    UnixTime::parse(text).map_err(|error| error.to_string())
}

fn header(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once(':').ok_or("write it as in x-user:ann")?;
    Ok((parts.0.to_ascii_lowercase(), parts.1.trim().to_owned()))
}

pub(crate) fn run(arguments: &SignArguments) -> anyhow::Result<()> {
    let secret = read(&arguments.secret)?;
    let token = arguments.security_token.as_ref().map(read).transpose()?;
    let token = token
        .as_ref()
        .map(|token| std::str::from_utf8(token.bytes()));
    let token = token.transpose().map_err(|_| {
        let hint = "it is the text that the key's issuer gave with it";
        Hinted::new("the security token is not text", hint)
    })?;
    let url = &arguments.url;
    let (Some(scheme), Some(host)) = (url.scheme_str(), url.authority()) else {
        let hint = "as in wss://chat.example.org/chat/lobby";
        return Err(Hinted::new(format!("`{url}` is no whole address"), hint).into());
    };
    let headers = arguments.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let signing = Signing {
        id: &arguments.id,
        secret: &secret,
        security_token: token,
        method: "GET",
        host: &sent_host(scheme, host),
        target: url.path_and_query().map_or("/", |it| it.as_str()),
        headers: &headers,
    };
    let form = match arguments.form {
        Form::Openline => SignatureForm::Openline,
        Form::Fc => SignatureForm::Fc,
        Form::Acs3 => SignatureForm::Acs3,
    };
    let date = arguments.date.unwrap_or_else(|| now().wall);
    let nonce = fresh_nonce()?;
    match arguments.presign {
        Some(time) => {
            let once = arguments.once.then_some((nonce.as_str(), date));
            let target = signing.presigned(form, date.plus(time), once);
            let signed = format!("{scheme}://{host}{}", target.map_err(explained)?);
            show(arguments.json, &json!({ "url": signed }), &signed)
        }
        None => {
            let signed = signing.headers(form, date, &nonce).map_err(explained)?;
            let lines: Vec<_> = signed
                .iter()
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            let object = signed
                .into_iter()
                .map(|(name, value)| (name, Value::String(value)));
            let object = json!({ "headers": object.collect::<Map<_, _>>() });
            show(arguments.json, &object, &lines.join("\n"))
        }
    }
}

/// The host as clients send it (RFC 9110 section 7.2): without user information,
/// and without a port that is the default of the scheme.
fn sent_host(scheme: &str, authority: &Authority) -> String {
    let default = match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    };
    let host = authority.host();
    match authority.port_u16().filter(|port| Some(*port) != default) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn explained(error: SignError) -> Hinted {
    let hint = "use `--form openline`, and a URL that is not signed yet";
    Hinted::new(error.to_string(), hint)
}

fn show(as_json: bool, object: &Value, text: &str) -> anyhow::Result<()> {
    let shown = match as_json {
        true => object.to_string(),
        false => text.to_owned(),
    };
    Ok(print(&shown)?)
}

fn read(place: &SecretSource) -> Result<Secret, Hinted> {
    let read = |place: &SecretSource| match place {
        SecretSource::Environment(name) => match std::env::var_os(name) {
            Some(value) => Ok(value.into_vec()),
            None => Err("the variable is not set".to_owned()),
        },
        SecretSource::File(path) => {
            let mut bytes = Vec::new();
            let read = File::open(path)
                .and_then(|file| file.take(SECRET_BYTES_MAX).read_to_end(&mut bytes));
            read.map(|_| bytes).map_err(|error| error.to_string())
        }
    };
    let hint = "export the variable, or write the secret into the file";
    Secret::read(place, &read).map_err(|error| Hinted::new(error.to_string(), hint))
}
