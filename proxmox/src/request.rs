//! Requests as values: what is asked for, and whether asking again is harmless.
//!
//! Nothing is sent here. That a request may be repeated is a property of its kind, never a decision of who sends it.

/// The verb of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates, or starts a task.
    Post,
    /// Changes.
    Put,
    /// Removes.
    Delete,
}

impl Method {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// Whether a request may be sent again after an answer that never came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It only reads, or changes nothing the second time: repeated on refused, reset, 595, 596 and lock timeouts.
    Idempotent,
    /// It changes something each time (a snapshot, a start): repeated only where it certainly was not carried out, that is on
    /// a refused connection or a lock timeout.
    Once,
    /// It creates something: never repeated; after a lost answer the state has to be read first.
    Never,
}

/// A request: pure value, without host, credentials or time.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) retry: Retry,
}

/// Parameters whose values are secrets.
const SECRET_NAMES: [&str; 5] = [
    "password",
    "cipassword",
    "otp",
    "tfa-challenge",
    "vncticket",
];

impl Request {
    /// Reads.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::Get, path, Retry::Idempotent)
    }

    /// Starts something or creates it; not repeated unless it is said with [`Request::retry`].
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::Post, path, Retry::Never)
    }

    /// Sets options: the second time they are the same.
    pub fn put(path: impl Into<String>) -> Self {
        Self::new(Method::Put, path, Retry::Idempotent)
    }

    /// Removes; carried out at most once.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::Delete, path, Retry::Once)
    }

    /// A request with any verb and path (without `/api2/json`), not repeated unless it reads.
    pub fn any(method: Method, path: impl Into<String>) -> Self {
        let retry = match method {
            Method::Get => Retry::Idempotent,
            _ => Retry::Never,
        };
        Self::new(method, path, retry)
    }

    fn new(method: Method, path: impl Into<String>, retry: Retry) -> Self {
        let path = path.into();
        let path = if path.starts_with('/') {
            path
        } else {
            format!("/{path}")
        };
        Self {
            method,
            path,
            params: Vec::new(),
            retry,
        }
    }

    /// Says how it may be repeated.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Adds a parameter. The same name again makes a list.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.params.push((name.into(), value.to_string()));
        self
    }

    /// Adds a parameter, if there is a value.
    #[must_use]
    pub fn maybe(self, name: impl Into<String>, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a boolean: forms take `1` and `0` only.
    #[must_use]
    pub fn flag(self, name: impl Into<String>, value: bool) -> Self {
        self.with(name, u8::from(value))
    }

    /// Adds many.
    #[must_use]
    pub fn with_all<N: Into<String>, V: ToString>(
        mut self,
        params: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let params = params.into_iter();
        self.params
            .extend(params.map(|(name, value)| (name.into(), value.to_string())));
        self
    }

    /// The verb.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The path, without `/api2/json`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The parameters in order. Values may be secrets.
    pub fn params(&self) -> &[(String, String)] {
        &self.params
    }

    /// How it may be repeated.
    pub fn repeat(&self) -> Retry {
        self.retry
    }

    /// The node that it is about, from its path.
    pub(crate) fn node(&self) -> Option<&str> {
        self.path.strip_prefix("/nodes/")?.split('/').next()
    }

    /// The parameters as a form or query: everything is escaped, as a bare `=` cuts a value short.
    pub(crate) fn encoded(&self) -> String {
        let pairs = self.params.iter();
        let pairs = pairs.map(|(name, value)| format!("{}={}", segment(name), segment(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// Values that must stand in no text.
    pub(crate) fn secrets(&self) -> Vec<&str> {
        let secret = |name: &str| SECRET_NAMES.contains(&name);
        let params = self.params.iter().filter(|(name, _)| secret(name));
        params.map(|(_, value)| value.as_str()).collect()
    }

    /// Parameters of GET and DELETE stand in the query: a body is refused with 501.
    pub(crate) fn in_query(&self) -> bool {
        matches!(self.method, Method::Get | Method::Delete)
    }
}

impl std::fmt::Debug for Request {
    /// Names only: values may be passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method.as_str(), self.path)?;
        for (name, _) in &self.params {
            write!(f, " {name}=…")?;
        }
        Ok(())
    }
}

/// A part of a path: node names, storages and UPIDs hold characters that mean something there.
pub(crate) fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_settings_may_be_repeated_and_creations_may_not() {
        assert_eq!(Request::get("/version").repeat(), Retry::Idempotent);
        assert_eq!(Request::put("x").repeat(), Retry::Idempotent);
        assert_eq!(Request::post("x").repeat(), Retry::Never);
        assert_eq!(Request::any(Method::Delete, "x").repeat(), Retry::Never);
    }

    #[test]
    fn what_is_printed_of_a_request_holds_no_value() {
        let request = Request::post("nodes/pve1/lxc").with("password", "geheim");
        let text = format!("{request:?}");
        assert_eq!(text, "POST /nodes/pve1/lxc password=…");
    }

    #[test]
    fn a_segment_is_escaped_byte_by_byte() {
        assert_eq!(segment("UPID:a@b!c/d é"), "UPID%3Aa%40b%21c%2Fd%20%C3%A9");
    }
}
