//! The keys that verify tokens: from a key set (RFC 7517), or a shared secret.
//!
//! A key is checked when it is read, so verifying finds only keys that are
//! strong enough and whose sort is certain. Bounded: [`JWK_KEYS_MAX`] keys, read
//! from at most [`JWKS_BYTES_MAX`].
//!
//! Issuers use one `kid` for several keys: one RSA key under each of its
//! algorithms, or an RSA and an EC key of the same age. A set may do so as long
//! as the `kid` and the algorithm of a token together mean one key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use openline_core::authentication::{JWK_KEYS_MAX, Jwk, UnixTime};
use p521::ecdsa::VerifyingKey;
use ring::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::rand::SystemRandom;
use serde::Deserialize;

use super::algorithm::{Algorithm, KeyKind};
use super::provider;
use crate::secret::Secret;

/// The longest text of a key set: 64 keys of RSA with their certificates.
pub const JWKS_BYTES_MAX: usize = 256 << 10;
/// The longest `kid`, in bytes: hashes and URLs are shorter.
pub(crate) const KID_BYTES_MAX: usize = 256;
/// The shortest secret: with fewer bytes, one token is enough to guess it.
const SECRET_BYTES_MIN: usize = 16;
/// The range of an RSA modulus in bytes. Less than 2048 bits is weak, and more
/// than 8192 costs too much.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// The longest RSA exponent; the usual one has three bytes.
const EXPONENT_BYTES_MAX: usize = 4;

/// The keys of one issuer. Not empty.
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// Where a key set comes from, which decides how strictly it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The operator wrote it: every key must be good.
    Written,
    /// An issuer published it for all its clients: keys of sorts that this host
    /// does not have are left out.
    Fetched,
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    id: Option<String>,
    /// The only algorithm, if the key names one.
    algorithm: Option<Algorithm>,
    kind: KeyKind,
    material: Material,
    /// The last moment at which it is good.
    not_after: Option<UnixTime>,
}

#[derive(Clone)]
enum Material {
    Library(DecodingKey),
    P521(Box<VerifyingKey>),
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Material")
    }
}

/// A problem with a key that does not keep it from being used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyWarning {
    /// A key was left out.
    #[error("key {place} is not used: {why}")]
    LeftOut {
        /// Its number, or its `kid`.
        place: String,
        /// The reason.
        why: KeyError,
    },
    /// A secret that is shorter than its algorithm's hash.
    #[error("a secret of {bytes} bytes is weaker than {algorithm}, which needs {least}")]
    ShortSecret {
        /// Its length.
        bytes: usize,
        /// The algorithm's name.
        algorithm: &'static str,
        /// The length that RFC 7518 asks for.
        least: usize,
    },
}

/// Why a key set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Longer than [`JWKS_BYTES_MAX`].
    #[error("the key set is longer than {JWKS_BYTES_MAX} bytes")]
    Long,
    /// Not a JSON object with a list `keys`.
    #[error("this is not a key set, which is a JSON object with a list `keys`")]
    Form,
    /// No key that can verify.
    #[error("the key set has no key that can verify a token")]
    Empty,
    /// More than [`JWK_KEYS_MAX`].
    #[error("the key set has more than {JWK_KEYS_MAX} keys")]
    TooMany,
    /// Two keys of one sort have one name.
    #[error("two different keys for the same algorithm have the `kid` `{0}`")]
    Twice(String),
    /// A key is not right.
    #[error("key {place}: {why}")]
    Key {
        /// Its number, or its `kid`.
        place: String,
        /// The problem.
        why: KeyError,
    },
}

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not an object with texts.
    #[error("it is not a JSON Web Key")]
    Form,
    /// Another sort of key.
    #[error("`kty` is not RSA, EC, OKP or oct")]
    Type,
    /// Another curve.
    #[error("`crv` is not P-256, P-384, P-521 or Ed25519")]
    Curve,
    /// Another algorithm.
    #[error("`alg` is not an algorithm for signing tokens")]
    Algorithm,
    /// The algorithm needs another sort of key.
    #[error("`alg` does not fit `kty` and `crv`")]
    Mismatch,
    /// For encryption, say.
    #[error("it is not for verifying signatures")]
    Use,
    /// A private key.
    #[error("it is a private key")]
    Private,
    /// A parameter is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A parameter is wrong.
    #[error("`{0}` is not right for this sort of key")]
    Parameter(&'static str),
    /// Coordinates that are not on the curve.
    #[error("`x` and `y` are not a point of the curve")]
    Point,
    /// An RSA key of another length.
    #[error("an RSA key has 2048 to 8192 bits")]
    Bits,
    /// A secret that can be guessed.
    #[error("a secret has at least {SECRET_BYTES_MIN} bytes")]
    Short,
    /// A `kid` that is too long.
    #[error("`kid` is longer than {KID_BYTES_MAX} bytes")]
    Name,
    /// A secret in a public set.
    #[error("a published key set has no secrets")]
    Published,
}

impl KeySet {
    /// Reads a key set from its JSON text.
    ///
    /// # Errors
    ///
    /// See [`KeySetError`].
    pub fn parse(text: &[u8], source: KeySource) -> Result<(Self, Vec<KeyWarning>), KeySetError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        if text.len() > JWKS_BYTES_MAX {
            return Err(KeySetError::Long);
        }
        let set: Set = serde_json::from_slice(text).map_err(|_| KeySetError::Form)?;
        let keys = set.keys.into_iter();
        Self::collect(keys.map(|key| Jwk::deserialize(key).ok()), source)
    }

    /// Takes keys from a configuration.
    ///
    /// # Errors
    ///
    /// See [`KeySetError`].
    pub fn new(keys: &[Jwk]) -> Result<(Self, Vec<KeyWarning>), KeySetError> {
        Self::collect(keys.iter().cloned().map(Some), KeySource::Written)
    }

    fn collect(
        written: impl ExactSizeIterator<Item = Option<Jwk>>,
        source: KeySource,
    ) -> Result<(Self, Vec<KeyWarning>), KeySetError> {
        if written.len() > JWK_KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let (mut keys, mut warnings) = (Vec::<(Key, Vec<u8>)>::new(), Vec::new());
        for (number, jwk) in written.enumerate() {
            let place = match jwk.as_ref().and_then(|jwk| jwk.kid.as_deref()) {
                Some(kid) => format!("`{}`", kid.chars().take(80).collect::<String>()),
                None => format!("{}", number + 1),
            };
            let key = jwk.ok_or(KeyError::Form);
            match key.and_then(|jwk| Key::new(&jwk, source, &mut warnings)) {
                Ok((key, bytes)) => add(&mut keys, key, bytes)?,
                Err(why) if source == KeySource::Fetched => {
                    warnings.push(KeyWarning::LeftOut { place, why });
                }
                Err(why) => return Err(KeySetError::Key { place, why }),
            }
        }
        if keys.is_empty() {
            return Err(KeySetError::Empty);
        }
        let keys = keys.into_iter().map(|(key, _)| key).collect();
        Ok((Self { keys }, warnings))
    }

    /// A shared secret, and the one before it with the last moment at which it is
    /// good. Tokens need not name them.
    ///
    /// # Errors
    ///
    /// When a secret is too short.
    pub fn of_secret(
        secret: &Secret,
        previous: Option<(&Secret, UnixTime)>,
        algorithms: &[Algorithm],
    ) -> Result<(Self, Vec<KeyWarning>), KeyError> {
        provider::install();
        let mut warnings = Vec::new();
        let key = |secret: &Secret, not_after, warnings: &mut Vec<_>| {
            for algorithm in algorithms {
                check_secret(secret.bytes(), *algorithm, warnings)?;
            }
            let key = DecodingKey::from_secret(secret.bytes());
            Ok(Key {
                id: None,
                algorithm: None,
                kind: KeyKind::Shared,
                material: Material::Library(key),
                not_after,
            })
        };
        let mut keys = vec![key(secret, None, &mut warnings)?];
        if let Some((previous, until)) = previous {
            keys.push(key(previous, Some(until), &mut warnings)?);
        }
        Ok((Self { keys }, warnings))
    }

    /// How many keys it has.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Whether a key has this name.
    pub fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(kid))
    }

    /// The keys that a token may mean, of whatever algorithm: those of the name
    /// that it gives, or those without a name if there are none. If the token
    /// gives no name, all keys.
    pub(crate) fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
        now: UnixTime,
    ) -> impl Iterator<Item = &'a Key> {
        let kid = kid.filter(|kid| !kid.is_empty());
        let named = kid.is_some_and(|kid| self.has(kid));
        self.keys.iter().filter(move |key| {
            let meant = match kid {
                None => true,
                Some(_) if named => key.id.as_deref() == kid,
                Some(_) => key.id.is_none(),
            };
            meant && key.not_after.is_none_or(|last| now <= last)
        })
    }
}

/// Adds a key with its bytes, unless the set has it already.
fn add(keys: &mut Vec<(Key, Vec<u8>)>, key: Key, bytes: Vec<u8>) -> Result<(), KeySetError> {
    for (other, theirs) in &*keys {
        if !key.shares_tokens(other) {
            continue;
        }
        match &key.id {
            _ if bytes == *theirs && key.algorithm == other.algorithm => return Ok(()),
            // Tokens that name no key are tried with each of these.
            None => {}
            Some(_) if bytes == *theirs => {}
            Some(name) => return Err(KeySetError::Twice(name.clone())),
        }
    }
    keys.push((key, bytes));
    Ok(())
}

impl Key {
    /// Also returns the bytes that make it this key: two keys with the same ones
    /// verify the same signatures.
    fn new(
        jwk: &Jwk,
        source: KeySource,
        warnings: &mut Vec<KeyWarning>,
    ) -> Result<(Self, Vec<u8>), KeyError> {
        provider::install();
        if jwk
            .kid
            .as_ref()
            .is_some_and(|kid| kid.len() > KID_BYTES_MAX)
        {
            return Err(KeyError::Name);
        }
        if jwk.d.is_some() {
            return Err(KeyError::Private);
        }
        let verifies = |list: &Vec<String>| list.iter().any(|it| it == "verify");
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig")
            || jwk.key_ops.as_ref().is_some_and(|list| !verifies(list))
        {
            return Err(KeyError::Use);
        }
        let algorithm = match jwk.alg.as_deref() {
            Some(name) => Some(Algorithm::parse(name).ok_or(KeyError::Algorithm)?),
            None => None,
        };
        let kind = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => KeyKind::Rsa,
            ("oct", _) if source == KeySource::Fetched => return Err(KeyError::Published),
            ("oct", _) => KeyKind::Shared,
            ("EC", Some("P-256")) => KeyKind::P256,
            ("EC", Some("P-384")) => KeyKind::P384,
            ("EC", Some("P-521")) => KeyKind::P521,
            ("OKP", Some("Ed25519")) => KeyKind::Ed25519,
            ("EC" | "OKP", Some(_)) => return Err(KeyError::Curve),
            ("EC" | "OKP", None) => return Err(KeyError::Missing("crv")),
            _ => return Err(KeyError::Type),
        };
        if algorithm.is_some_and(|algorithm| algorithm.kind() != kind) {
            return Err(KeyError::Mismatch);
        }
        let (material, bytes) = material(jwk, kind, algorithm, warnings)?;
        let key = Self {
            id: jwk.kid.clone().filter(|kid| !kid.is_empty()),
            algorithm,
            kind,
            material,
            not_after: None,
        };
        Ok((key, bytes))
    }

    /// Whether a token could mean either of the two.
    fn shares_tokens(&self, other: &Self) -> bool {
        let algorithms = self.algorithm.zip(other.algorithm);
        self.id == other.id
            && self.kind == other.kind
            && algorithms.is_none_or(|(own, theirs)| own == theirs)
    }

    /// Whether it may verify by an algorithm.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.kind == algorithm.kind() && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Verifies the signature, as it is in the token, of the text before it.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        match (&self.material, algorithm.of_library()) {
            (Material::Library(key), Some(algorithm)) => {
                let verified = jsonwebtoken::crypto::verify(signature, message, key, algorithm);
                verified.unwrap_or(false)
            }
            (Material::P521(key), None) => verifies_p521(key, message, signature).is_some(),
            _ => false,
        }
    }
}

fn verifies_p521(key: &VerifyingKey, message: &[u8], signature: &str) -> Option<()> {
    use p521::ecdsa::signature::Verifier;
    let bytes = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let signature = p521::ecdsa::Signature::from_slice(&bytes).ok()?;
    key.verify(message, &signature).ok()
}

fn decoded(text: Option<&String>, name: &'static str) -> Result<Vec<u8>, KeyError> {
    let text = text.ok_or(KeyError::Missing(name))?;
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
    bytes.map_err(|_| KeyError::Parameter(name))
}

fn material(
    jwk: &Jwk,
    kind: KeyKind,
    algorithm: Option<Algorithm>,
    warnings: &mut Vec<KeyWarning>,
) -> Result<(Material, Vec<u8>), KeyError> {
    let coordinate = |text: &Option<String>, name, bytes: usize| {
        let coordinate = decoded(text.as_ref(), name)?;
        let is_right = coordinate.len() == bytes;
        is_right
            .then_some(coordinate)
            .ok_or(KeyError::Parameter(name))
    };
    let point = |bytes: usize| -> Result<Vec<u8>, KeyError> {
        let (x, y) = (
            coordinate(&jwk.x, "x", bytes)?,
            coordinate(&jwk.y, "y", bytes)?,
        );
        Ok([&[4], &*x, &*y].concat())
    };
    Ok(match kind {
        KeyKind::Shared => {
            let secret = decoded(jwk.k.as_ref(), "k")?;
            check_secret(&secret, algorithm.unwrap_or(Algorithm::Hs256), warnings)?;
            (Material::Library(DecodingKey::from_secret(&secret)), secret)
        }
        KeyKind::Rsa => {
            let (n, e) = (decoded(jwk.n.as_ref(), "n")?, decoded(jwk.e.as_ref(), "e")?);
            let zeros = |bytes: &[u8]| bytes.iter().take_while(|byte| **byte == 0).count();
            // Some issuers write the sign's zero before the modulus.
            let (n, e) = (&n[zeros(&n)..], &e[zeros(&e)..]);
            if !RSA_BYTES.contains(&n.len()) {
                return Err(KeyError::Bits);
            }
            let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
            if !is_odd(n) {
                return Err(KeyError::Parameter("n"));
            }
            if e.len() > EXPONENT_BYTES_MAX || !is_odd(e) || e == [1] {
                return Err(KeyError::Parameter("e"));
            }
            let key = DecodingKey::from_rsa_raw_components(n, e);
            // The length keeps the two apart.
            let bytes = [&n.len().to_be_bytes(), n, e].concat();
            (Material::Library(key), bytes)
        }
        KeyKind::P256 | KeyKind::P384 => {
            let (bytes, curve) = match kind {
                KeyKind::P256 => (32, &agreement::ECDH_P256),
                _ => (48, &agreement::ECDH_P384),
            };
            let point = point(bytes)?;
            if !is_on_curve(curve, &point) {
                return Err(KeyError::Point);
            }
            (Material::Library(DecodingKey::from_ec_der(&point)), point)
        }
        KeyKind::P521 => {
            let point = point(66)?;
            let key = VerifyingKey::from_sec1_bytes(&point).map_err(|_| KeyError::Point)?;
            (Material::P521(Box::new(key)), point)
        }
        KeyKind::Ed25519 => {
            let point = coordinate(&jwk.x, "x", 32)?;
            (Material::Library(DecodingKey::from_ed_der(&point)), point)
        }
    })
}

/// Whether a curve has a point. ring looks at the points of signatures only when
/// it verifies one, but an agreement on a key begins with the same question.
fn is_on_curve(curve: &'static agreement::Algorithm, point: &[u8]) -> bool {
    let own = EphemeralPrivateKey::generate(curve, &SystemRandom::new());
    own.and_then(|own| agree_ephemeral(own, &UnparsedPublicKey::new(curve, point), |_| ()))
        .is_ok()
}

fn check_secret(
    secret: &[u8],
    algorithm: Algorithm,
    warnings: &mut Vec<KeyWarning>,
) -> Result<(), KeyError> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err(KeyError::Short);
    }
    if secret.len() < algorithm.secret_bytes() {
        warnings.push(KeyWarning::ShortSecret {
            bytes: secret.len(),
            algorithm: algorithm.name(),
            least: algorithm.secret_bytes(),
        });
    }
    Ok(())
}
