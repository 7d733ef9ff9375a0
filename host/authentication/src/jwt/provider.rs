//! jsonwebtoken's cryptography, done by ring, which TLS uses as well.
//!
//! The library's own choices are aws-lc, a second cryptographic library beside
//! ring, and RustCrypto, whose RSA has a known timing defect. This one verifies
//! and signs nothing.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result, new_error};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey, signature,
};
use ring::{hmac, signature as rings};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: refuse,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Verifies signatures of one key by one algorithm.
struct Verifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Makes ring the library's cryptography in this process, unless the process has
/// chosen another one before.
pub(crate) fn install() {
    // An error says that a provider is installed: this one, or another.
    let _ = PROVIDER.install_default();
}

fn refuse(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    Err(new_error(ErrorKind::UnsupportedAlgorithm))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if key.family() != algorithm.family() {
        return Err(new_error(ErrorKind::InvalidKeyFormat));
    }
    Ok(Box::new(Verifier {
        algorithm: *algorithm,
        key: key.clone(),
    }))
}

/// How ring verifies by an algorithm with a public key.
fn public(algorithm: Algorithm) -> Option<&'static dyn rings::VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::ES256 => &rings::ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &rings::ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDSA => &rings::ED25519,
        _ => rsa(algorithm)?,
    })
}

fn rsa(algorithm: Algorithm) -> Option<&'static rings::RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &rings::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &rings::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &rings::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &rings::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &rings::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &rings::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

impl Verifier {
    fn check(&self, message: &[u8], given: &[u8]) -> Option<()> {
        match (self.key.kind(), self.key.family()) {
            (DecodingKeyKind::SecretOrDer(secret), AlgorithmFamily::Hmac) => {
                let digest = match self.algorithm {
                    Algorithm::HS256 => hmac::HMAC_SHA256,
                    Algorithm::HS384 => hmac::HMAC_SHA384,
                    Algorithm::HS512 => hmac::HMAC_SHA512,
                    _ => return None,
                };
                let tag = hmac::sign(&hmac::Key::new(digest, secret), message);
                crate::secret::same(tag.as_ref(), given).then_some(())
            }
            (DecodingKeyKind::SecretOrDer(point), _) => {
                let key = rings::UnparsedPublicKey::new(public(self.algorithm)?, point);
                key.verify(message, given).ok()
            }
            (DecodingKeyKind::RsaModulusExponent { n, e }, _) => {
                let key = rings::RsaPublicKeyComponents { n, e };
                key.verify(rsa(self.algorithm)?, message, given).ok()
            }
        }
    }
}

impl signature::Verifier<Vec<u8>> for Verifier {
    fn verify(&self, message: &[u8], given: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        self.check(message, given).ok_or_else(signature::Error::new)
    }
}

impl JwtVerifier for Verifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
