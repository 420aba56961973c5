//! Objects in Kubernetes' protobuf form, as Go's typed clients send them: read with the field numbers of the derived table.
//! Answers stay JSON, which those clients accept.

use base64::Engine;
use serde_json::{Map, Value};

use super::schema::{Additional, Number, Schema, table, type_of};

/// In front of every object.
const MAGIC: &[u8] = b"k8s\0";
/// Structures within structures.
const DEPTH_MAX: usize = 64;

const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const RAW: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
const FIELDS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";

/// Fields whose zero or `false` is said, not left out.
const POINTERS: [&str; 14] = [
    "replicas",
    "minReplicas",
    "completions",
    "parallelism",
    "backoffLimit",
    "partition",
    "terminationGracePeriodSeconds",
    "ttlSecondsAfterFinished",
    "revisionHistoryLimit",
    "runAsUser",
    "gracePeriodSeconds",
    "automountServiceAccountToken",
    "allowPrivilegeEscalation",
    "enableServiceLinks",
];

/// A field as it stands on the wire.
enum Field<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

/// The object of a body; none when it is not of this form.
pub(crate) fn decode(body: &[u8]) -> Option<Value> {
    let mut envelope = Reader(body.strip_prefix(MAGIC)?);
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    while let Some((number, field)) = envelope.next()? {
        match (number, field) {
            (1, Field::Bytes(bytes)) => {
                let mut meta = Reader(bytes);
                while let Some((number, field)) = meta.next()? {
                    match (number, field) {
                        (1, Field::Bytes(bytes)) => api_version = text(bytes)?,
                        (2, Field::Bytes(bytes)) => kind = text(bytes)?,
                        _ => {}
                    }
                }
            }
            (2, Field::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let name = match kind.as_str() {
        "DeleteOptions" => "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
        kind => type_of(group, version, kind)?,
    };
    let mut out = Map::new();
    out.insert("apiVersion".into(), api_version.clone().into());
    out.insert("kind".into(), kind.into());
    structure(table().types.get(name)?, raw, &mut out, 0)?;
    Some(out.into())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next field; `Some(None)` at the end, none when the bytes make no sense.
    fn next(&mut self) -> Option<Option<(u64, Field<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let key = self.number()?;
        let field = match key & 7 {
            0 => Field::Number(self.number()?),
            1 => Field::Fixed(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Fixed(u32::from_le_bytes(self.take(4)?.try_into().ok()?).into()),
            _ => return None,
        };
        Some(Some((key >> 3, field)))
    }

    fn number(&mut self) -> Option<u64> {
        let mut out = 0;
        for shift in 0..10 {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            out |= u64::from(first & 0x7f) << (7 * shift);
            if first & 0x80 == 0 {
                return Some(out);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

fn structure(
    schema: &Schema,
    bytes: &[u8],
    out: &mut Map<String, Value>,
    depth: usize,
) -> Option<()> {
    fields(schema, &schema.pb, bytes, out, depth)
}

fn fields(
    schema: &Schema,
    numbers: &std::collections::BTreeMap<String, Number>,
    bytes: &[u8],
    out: &mut Map<String, Value>,
    depth: usize,
) -> Option<()> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut reader = Reader(bytes);
    while let Some((number, field)) = reader.next()? {
        match (numbers.get(&number.to_string()), field) {
            (Some(Number::Field(name)), field) => {
                let own = schema.properties.get(name)?;
                put(own, name, field, out, depth + 1)?;
            }
            // What JSON has in the structure itself.
            (Some(Number::Inline(numbers)), Field::Bytes(bytes)) => {
                fields(schema, numbers, bytes, out, depth + 1)?
            }
            _ => {}
        }
    }
    Some(())
}

fn put(
    schema: &Schema,
    name: &str,
    field: Field<'_>,
    out: &mut Map<String, Value>,
    depth: usize,
) -> Option<()> {
    let own = schema.resolve();
    match (own.kind.as_deref(), &own.additional_properties, field) {
        (Some("array"), _, field) => {
            let value = value(own.items.as_deref()?, field, depth)?;
            out.entry(name)
                .or_insert_with(|| Value::Array(Vec::new()))
                .as_array_mut()?
                .push(value);
        }
        (_, Some(Additional::Of(items)), Field::Bytes(bytes)) => {
            let (mut key, mut own) = (String::new(), empty(items));
            let mut entry = Reader(bytes);
            while let Some((number, field)) = entry.next()? {
                match (number, field) {
                    (1, Field::Bytes(bytes)) => key = text(bytes)?,
                    (2, field) => own = value(items, field, depth)?,
                    _ => {}
                }
            }
            out.entry(name)
                .or_insert_with(|| Value::Object(Map::new()))
                .as_object_mut()?
                .insert(key, own);
        }
        (_, _, field) => {
            let value = value(schema, field, depth)?;
            // Go writes what is empty too; in JSON it is not there. A pointer to nothing is not written at all.
            let unset = match &value {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Number(number) => number.as_i64() == Some(0) && !POINTERS.contains(&name),
                Value::Bool(is) => !is && !POINTERS.contains(&name),
                _ => false,
            };
            if !unset {
                out.insert(name.to_owned(), value);
            }
        }
    }
    Some(())
}

fn empty(schema: &Schema) -> Value {
    match schema.resolve().kind.as_deref() {
        Some("string") => "".into(),
        _ => Value::Null,
    }
}

fn value(schema: &Schema, field: Field<'_>, depth: usize) -> Option<Value> {
    let own = schema.resolve();
    Some(match field {
        Field::Number(number) if own.kind.as_deref() == Some("boolean") => (number != 0).into(),
        // A negative number is written as its two's complement.
        Field::Number(number) => number.cast_signed().into(),
        Field::Fixed(bits) => f64::from_bits(bits).into(),
        Field::Bytes(bytes) => match schema.reference.as_deref() {
            Some(TIME | MICRO_TIME) => time(bytes)?,
            Some(QUANTITY) => first(bytes)?,
            Some(INT_OR_STRING) => int_or_string(bytes)?,
            Some(RAW | FIELDS) => {
                let mut reader = Reader(bytes);
                match reader.next()? {
                    Some((1, Field::Bytes(raw))) => serde_json::from_slice(raw).ok()?,
                    _ => Value::Null,
                }
            }
            _ if own.kind.as_deref() == Some("string") && own.format.as_deref() == Some("byte") => {
                base64::engine::general_purpose::STANDARD
                    .encode(bytes)
                    .into()
            }
            _ if own.kind.as_deref() == Some("string") => text(bytes)?.into(),
            _ => {
                let mut out = Map::new();
                structure(own, bytes, &mut out, depth)?;
                out.into()
            }
        },
    })
}

fn first(bytes: &[u8]) -> Option<Value> {
    match Reader(bytes).next()? {
        Some((1, Field::Bytes(bytes))) => Some(text(bytes)?.into()),
        _ => Some("0".into()),
    }
}

fn time(bytes: &[u8]) -> Option<Value> {
    let mut seconds = None;
    let mut reader = Reader(bytes);
    while let Some((number, field)) = reader.next()? {
        if let (1, Field::Number(number)) = (number, field) {
            seconds = Some(number.cast_signed());
        }
    }
    // A time that is not set is an empty structure, or the first second of year one.
    let time = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    Some(match time.filter(|time| time.as_second() > 0) {
        Some(time) => super::object::stamp(time).into(),
        None => Value::Null,
    })
}

fn int_or_string(bytes: &[u8]) -> Option<Value> {
    let (mut is_text, mut number, mut own) = (false, 0, String::new());
    let mut reader = Reader(bytes);
    while let Some((field, value)) = reader.next()? {
        match (field, value) {
            (1, Field::Number(kind)) => is_text = kind == 1,
            (2, Field::Number(value)) => number = value.cast_signed(),
            (3, Field::Bytes(bytes)) => own = text(bytes)?,
            _ => {}
        }
    }
    Some(if is_text { own.into() } else { number.into() })
}
