//! SOPS with age: what is encrypted in a manifest or a file, opened as kustomize-controller opens it.
//!
//! The message authentication code of a whole document is computed but not enforced, as there: Kustomize changes a resource (its
//! namespace, its labels) before it is decrypted, and the code is of the file before. Each value is authenticated by itself, with
//! its path.

mod age;
mod file;

use aes_gcm::aead::consts::U32;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use serde_json::{Map, Value};

pub(super) use age::Identity;
pub(super) use file::{Format, decrypt_file};

/// AES-256-GCM with the long nonce that SOPS uses.
type Cipher = AesGcm<Aes256, U32>;

/// Which values are encrypted, by their keys.
struct Rules {
    encrypted_regex: Option<Regex>,
    unencrypted_regex: Option<Regex>,
    encrypted_suffix: String,
    unencrypted_suffix: String,
}

/// What opens a document.
struct Opener {
    cipher: Cipher,
    rules: Rules,
}

/// Whether a resource is encrypted.
pub(super) fn is_encrypted(value: &Value) -> bool {
    value["sops"]["mac"]
        .as_str()
        .is_some_and(|mac| !mac.is_empty())
}

/// Opens a resource in place; its `sops` goes.
///
/// # Errors
///
/// Without a key for it, or when a value was changed. No value is repeated.
pub(super) fn decrypt(value: &mut Value, identities: &[Identity]) -> Result<(), String> {
    let metadata = value
        .as_object_mut()
        .and_then(|map| map.remove("sops"))
        .unwrap_or_default();
    let opener = Opener::new(&metadata, identities)?;
    opener
        .walk(value, &mut Vec::new())
        .map_err(|text| format!("error decrypting sops tree: Error walking tree: {text}"))
}

impl Opener {
    fn new(metadata: &Value, identities: &[Identity]) -> Result<Self, String> {
        let key = data_key(metadata, identities)?;
        let cipher = Cipher::new_from_slice(&key)
            .map_err(|_| "cannot get sops data key: it is not of 32 bytes".to_owned())?;
        let text = |key: &str| metadata[key].as_str().unwrap_or_default();
        let regex = |key: &str| match text(key) {
            "" => Ok(None),
            own => Regex::new(own)
                .map(Some)
                .map_err(|error| format!("sops.{key}: {error}")),
        };
        let rules = Rules {
            encrypted_regex: regex("encrypted_regex")?,
            unencrypted_regex: regex("unencrypted_regex")?,
            encrypted_suffix: text("encrypted_suffix").to_owned(),
            unencrypted_suffix: text("unencrypted_suffix").to_owned(),
        };
        for key in ["encrypted_comment_regex", "unencrypted_comment_regex"] {
            if !text(key).is_empty() {
                return Err(format!("the lab knows no `sops.{key}`"));
            }
        }
        Ok(Self { cipher, rules })
    }

    /// Opens all values below; those of a list have the path of the list.
    fn walk(&self, value: &mut Value, path: &mut Vec<String>) -> Result<(), String> {
        match value {
            Value::Object(map) => {
                for (key, value) in map.iter_mut() {
                    path.push(key.clone());
                    self.walk(value, path)?;
                    path.pop();
                }
                Ok(())
            }
            Value::Array(list) => {
                for value in list.iter_mut() {
                    self.walk(value, path)?;
                }
                // A comment within a list is encrypted as one of its values.
                list.retain(|value| !value.is_null() || self.rules.keeps(path));
                Ok(())
            }
            leaf if self.rules.encrypts(path) => {
                let text = leaf
                    .as_str()
                    .ok_or("Expected encrypted value as string")?
                    .to_owned();
                *leaf = self.value(&text, path)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn value(&self, text: &str, path: &[String]) -> Result<Value, String> {
        if text.is_empty() {
            return Ok(Value::String(String::new()));
        }
        let additional = format!("{}:", path.join(":"));
        let (plain, kind) = self.open(text, &additional)?;
        let parsed = match kind.as_str() {
            "str" | "bytes" | "time" => Some(plain.clone().into()),
            "int" => plain.parse::<i64>().ok().map(Value::from),
            "float" => plain.parse::<f64>().ok().map(Value::from),
            "bool" => plain
                .to_ascii_lowercase()
                .parse::<bool>()
                .ok()
                .map(Value::from),
            "comment" => Some(Value::Null),
            other => {
                return Err(format!(
                    "Could not decrypt value: Unknown datatype: {other}"
                ));
            }
        };
        parsed.ok_or_else(|| format!("Could not decrypt value: it is no {kind}"))
    }

    /// The text of an encrypted value and its type.
    fn open(&self, text: &str, additional: &str) -> Result<(String, String), String> {
        let [data, iv, tag, kind] = parts(text).ok_or(
            "Could not decrypt value: Input string <redacted> does not match sops' data format",
        )?;
        let changed = || {
            "Could not decrypt value: Could not decrypt with AES_GCM: cipher: message authentication failed".to_owned()
        };
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| changed());
        let (mut sealed, iv) = (decode(data)?, decode(iv)?);
        sealed.extend(decode(tag)?);
        let nonce = Nonce::<U32>::try_from(iv.as_slice()).map_err(|_| changed())?;
        let payload = Payload {
            msg: &sealed,
            aad: additional.as_bytes(),
        };
        let plain = self
            .cipher
            .decrypt(&nonce, payload)
            .map_err(|_| changed())?;
        let plain =
            String::from_utf8(plain).map_err(|_| "Could not decrypt value: it is not UTF-8")?;
        Ok((plain, kind.to_owned()))
    }
}

impl Rules {
    /// SOPS' own order: each rule that is there decides anew.
    fn encrypts(&self, path: &[String]) -> bool {
        let any = |holds: &dyn Fn(&String) -> bool| path.iter().any(holds);
        let mut out = true;
        if !self.unencrypted_suffix.is_empty()
            && any(&|key| key.ends_with(&self.unencrypted_suffix))
        {
            out = false;
        }
        if !self.encrypted_suffix.is_empty() {
            out = any(&|key| key.ends_with(&self.encrypted_suffix));
        }
        if self
            .unencrypted_regex
            .as_ref()
            .is_some_and(|own| any(&|key| own.is_match(key)))
        {
            out = false;
        }
        if let Some(own) = &self.encrypted_regex {
            out = any(&|key| own.is_match(key));
        }
        out
    }

    /// Whether nothing in a list below this path can be a comment.
    fn keeps(&self, path: &[String]) -> bool {
        !self.encrypts(path)
    }
}

/// Data, nonce, tag and type of `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`.
fn parts(text: &str) -> Option<[&str; 4]> {
    let body = text.strip_prefix("ENC[AES256_GCM,")?.strip_suffix(']')?;
    let mut fields = body.split(',');
    let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix(':');
    let found = [field("data")?, field("iv")?, field("tag")?, field("type")?];
    fields.next().is_none().then_some(found)
}

/// The document's own key, from the first age recipient whose identity is there.
fn data_key(metadata: &Value, identities: &[Identity]) -> Result<Vec<u8>, String> {
    let recipients = metadata["age"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for recipient in recipients {
        let file = recipient["enc"].as_str().unwrap_or_default();
        if let Some(key) = age::open(file, identities)
            .map_err(|text| format!("cannot get sops data key: {text}"))?
        {
            return Ok(key);
        }
    }
    if recipients.is_empty() {
        return Err("cannot get sops data key: the lab decrypts what age encrypted, and there is no age recipient".to_owned());
    }
    let tried: String = recipients
        .iter()
        .map(|recipient| {
            let shown = recipient["recipient"].as_str().unwrap_or_default();
            format!("  {shown}: FAILED\n    - | no identity matched any of the recipients\n\n")
        })
        .collect();
    Err(format!(
        "cannot get sops data key: Failed to get the data key required to decrypt the SOPS file.\n\nGroup 0: FAILED\n{tried}\
         Recovery failed because no master key was able to decrypt the file. In\norder for SOPS to recover the file, at least one key has to \
         be successful,\nbut none were."
    ))
}

/// The message authentication code of a document that was opened, as SOPS computes it: over the values in their order.
#[cfg(test)]
fn code(value: &Value) -> String {
    use sha2::{Digest, Sha512};
    fn walk(value: &Value, hash: &mut Sha512) {
        match value {
            Value::Object(map) => map.values().for_each(|value| walk(value, hash)),
            Value::Array(list) => list.iter().for_each(|value| walk(value, hash)),
            Value::String(text) => hash.update(text.as_bytes()),
            Value::Bool(true) => hash.update("True"),
            Value::Bool(false) => hash.update("False"),
            Value::Number(number) => hash.update(number.to_string()),
            Value::Null => {}
        }
    }
    let mut hash = Sha512::new();
    walk(value, &mut hash);
    super::tree::hexadecimal(&hash.finalize()).to_uppercase()
}

/// A map of `data` whose values are opened by themselves: a file that was encrypted as a whole and became a key of a Secret.
pub(super) fn decrypt_data(
    data: &mut Map<String, Value>,
    identities: &[Identity],
) -> Result<(), (String, String)> {
    for (key, value) in data.iter_mut() {
        let Some(bytes) = value.as_str().and_then(|text| STANDARD.decode(text).ok()) else {
            continue;
        };
        let Some(format) = Format::of_content(&bytes) else {
            continue;
        };
        let out = decrypt_file(&bytes, format, identities).map_err(|text| (key.clone(), text))?;
        *value = STANDARD.encode(out).into();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../tests/kubernetes/sops/",
                $name
            ))
        };
    }

    fn keys() -> Vec<Identity> {
        Identity::read_all(fixture!("age.agekey")).expect("an age key file")
    }

    fn read(text: &str) -> Value {
        serde_saphyr::from_str(text).expect("YAML")
    }

    #[test]
    fn what_sops_encrypted_is_opened() {
        let mut secret = read(fixture!("secret.yaml"));
        assert!(is_encrypted(&secret));
        decrypt(&mut secret, &keys()).expect("opened");
        assert_eq!(
            secret,
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login", "namespace": "default"}, "type": "Opaque",
                "stringData": {"user": "admin", "password": "correct horse battery staple", "port": "5432"},
                "data": {"token": "aHVudGVyMg=="},
            })
        );
        let mut mixed = read(fixture!("mixed.yaml"));
        decrypt(&mut mixed, &keys()).expect("opened");
        assert_eq!(
            mixed["data"],
            json!({"plain_unencrypted": "seen by all", "text": "ä \"quoted\" line", "lines": "one\ntwo\n"})
        );
    }

    #[test]
    fn values_have_their_types_and_the_code_of_the_whole_agrees() {
        for text in [
            fixture!("values.yaml"),
            fixture!("secret.yaml"),
            fixture!("mixed.yaml"),
        ] {
            let mut value = read(text);
            let opener = Opener::new(&value["sops"], &keys()).expect("a key");
            let (mac, modified) = (
                value["sops"]["mac"].clone(),
                value["sops"]["lastmodified"].clone(),
            );
            decrypt(&mut value, &keys()).expect("opened");
            let (expected, _) = opener
                .open(
                    mac.as_str().expect("a text"),
                    modified.as_str().expect("a text"),
                )
                .expect("opened");
            assert_eq!(code(&value), expected);
        }
        let mut values = read(fixture!("values.yaml"));
        decrypt(&mut values, &keys()).expect("opened");
        assert_eq!(
            values,
            json!({"name": "web", "replicas": 3, "ratio": 0.5, "on": true, "list": ["one", "two"], "nested": {"password": "hunter2"}})
        );
    }

    #[test]
    fn files_of_secret_generators_are_opened() {
        let open = |text: &str, format| {
            assert!(Format::is_encrypted(format, text.as_bytes()));
            let out = decrypt_file(text.as_bytes(), format, &keys()).expect("opened");
            String::from_utf8(out).expect("UTF-8")
        };
        assert_eq!(
            open(fixture!("login.env"), Format::Dotenv),
            "USER=admin\nPASSWORD=s3cret=with=equals\n"
        );
        assert_eq!(
            open(fixture!("blob.txt"), Format::Whole),
            "any \u{1} text\nof a file\n"
        );
        assert_eq!(
            open(fixture!("values.yaml"), Format::Yaml),
            "name: web\nreplicas: 3\nratio: 0.5\n\"on\": true\nlist:\n    - one\n    - two\nnested:\n    password: hunter2\n"
        );
    }

    #[test]
    fn without_a_key_or_with_a_changed_value_nothing_is_opened() {
        let mut secret = read(fixture!("secret.yaml"));
        let other = "AGE-SECRET-KEY-1QYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQS2JGHZX";
        assert!(Identity::read_all(other).is_err(), "its checksum is wrong");
        let text = decrypt(&mut secret, &[]).expect_err("no key");
        assert!(text.starts_with("cannot get sops data key"), "{text}");
        let mut secret = read(fixture!("secret.yaml"));
        secret["stringData"]["user"] = secret["stringData"]["password"].clone();
        let text = decrypt(&mut secret, &keys()).expect_err("a value of another key");
        assert!(text.contains("message authentication failed"), "{text}");
    }
}
