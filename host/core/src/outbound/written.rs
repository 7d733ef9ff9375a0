//! The table `[function.outbound]` as a configuration file has it.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// `[function.outbound]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OutboundWritten {
    pub(crate) hosts: Option<Spanned<Vec<Spanned<HostWritten>>>>,
    pub(crate) roots: Option<Spanned<Vec<Spanned<PathBuf>>>>,
}

/// An entry of `hosts`: a text, or a table with more about it.
#[derive(Debug)]
pub(crate) struct HostWritten {
    pub(crate) host: String,
    pub(crate) private: bool,
}

impl<'de> Deserialize<'de> for HostWritten {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrTable)
    }
}

struct TextOrTable;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    host: String,
    #[serde(default)]
    private: bool,
}

impl<'de> Visitor<'de> for TextOrTable {
    type Value = HostWritten;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a host, or a table with `host` and `private`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<HostWritten, E> {
        Ok(HostWritten {
            host: text.to_owned(),
            private: false,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HostWritten, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(HostWritten {
            host: table.host,
            private: table.private,
        })
    }
}
