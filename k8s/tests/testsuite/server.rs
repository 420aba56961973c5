//! A small API server: list, watch, server-side apply without merging, delete with finalizers; and a hook before all of it.
//!
//! It is no simulator: it knows no kinds, no schemas and no controllers. A test says what is there and how it fails.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use runbook_k8s::{Access, Client, Times};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) fn is_watch(&self) -> bool {
        self.query.contains("watch=true")
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.query.contains("dryRun=All")
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let value = pairs.into_iter().find(|(key, _)| *key == name)?.1;
        Some(value.replace("%3D", "=").replace("%2C", ","))
    }
}

/// What a hook answers instead of the server.
pub(crate) enum Reply {
    Status(u16, Value),
    /// With `Retry-After`.
    Throttle(u64),
    /// No answer at all.
    Silence,
    /// The connection is closed.
    Hangup,
    /// A watch that sends these lines and then ends, or says nothing more.
    Stream(Vec<Value>, End),
    Text(&'static str),
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum End {
    Cut,
    Silent,
}

type Hook = Box<dyn FnMut(&Asked) -> Option<Reply> + Send>;

#[derive(Default)]
struct Store {
    objects: Vec<(String, Value)>,
    version: u64,
    history: Vec<(u64, String, Value)>,
    asked: Vec<Asked>,
    hook: Option<Hook>,
    watchers: Vec<(String, mpsc::UnboundedSender<Value>)>,
}

#[derive(Clone)]
pub(crate) struct Server {
    store: Arc<Mutex<Store>>,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let server = Self {
            store: Arc::default(),
            address: listener.local_addr().expect("bound"),
        };
        server.store.lock().expect("lock").version = 100;
        let serving = server.clone();
        tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else {
                    return;
                };
                let server = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| server.clone().answer(request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        server
    }

    /// A client with short times.
    pub(crate) async fn client(&self) -> Client {
        self.client_with(Times {
            request: Duration::from_secs(3),
            pause: Duration::from_millis(5),
            silence: Duration::from_millis(400),
            settle: Duration::from_millis(300),
        })
        .await
    }

    pub(crate) async fn client_with(&self, times: Times) -> Client {
        let (_directory, path) = kubeconfig(&format!("http://{}", self.address), "");
        let access = Access::Kubeconfig {
            path,
            context: None,
        };
        Client::connect_with(&access, times)
            .await
            .expect("a client")
    }

    /// Asks this before every answer.
    pub(crate) fn hook(&self, hook: impl FnMut(&Asked) -> Option<Reply> + Send + 'static) {
        self.store.lock().expect("lock").hook = Some(Box::new(hook));
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.store.lock().expect("lock").asked.clone()
    }

    /// How many requests were as a test says.
    pub(crate) fn count(&self, is: impl Fn(&Asked) -> bool) -> usize {
        self.asked().iter().filter(|asked| is(asked)).count()
    }

    /// Waits until somebody watches.
    pub(crate) async fn watched(&self) {
        while self.count(Asked::is_watch) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Puts an object there, or changes it, as a controller would.
    pub(crate) fn put(&self, collection: &str, mut object: Value) -> Value {
        let mut store = self.store.lock().expect("lock");
        let path = format!(
            "{collection}/{}",
            object["metadata"]["name"].as_str().expect("a name")
        );
        store.version += 1;
        let version = store.version;
        let known = store
            .objects
            .iter()
            .find(|(other, _)| *other == path)
            .map(|(_, object)| object.clone());
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        let uid = known.as_ref().map_or_else(
            || json!(format!("uid-{version}")),
            |known| known["metadata"]["uid"].clone(),
        );
        metadata.entry("uid").or_insert(uid);
        metadata
            .entry("creationTimestamp")
            .or_insert(json!("2026-11-30T00:00:00Z"));
        metadata.insert("resourceVersion".into(), json!(version.to_string()));
        let kind = if known.is_some() { "MODIFIED" } else { "ADDED" };
        store.objects.retain(|(other, _)| *other != path);
        store.objects.push((path, object.clone()));
        store.tell(version, collection, kind, object.clone());
        object
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let store = self.store.lock().expect("lock");
        store
            .objects
            .iter()
            .find(|(other, _)| other == path)
            .map(|(_, object)| object.clone())
    }

    pub(crate) fn remove(&self, path: &str) {
        let mut store = self.store.lock().expect("lock");
        store.version += 1;
        let version = store.version;
        let Some(position) = store.objects.iter().position(|(other, _)| other == path) else {
            return;
        };
        let (_, mut object) = store.objects.remove(position);
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let collection = path.rsplit_once('/').expect("a path").0.to_owned();
        store.tell(version, &collection, "DELETED", object);
    }

    async fn answer(
        self,
        request: http::Request<Incoming>,
    ) -> Result<Response<Body>, std::io::Error> {
        let (parts, body) = request.into_parts();
        let bytes = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let asked = Asked {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        };
        let reply = {
            let mut store = self.store.lock().expect("lock");
            store.asked.push(asked.clone());
            let mut hook = store.hook.take();
            let reply = hook.as_mut().and_then(|hook| hook(&asked));
            store.hook = hook;
            reply
        };
        match reply {
            Some(Reply::Status(code, status)) => Ok(json_response(code, &status)),
            Some(Reply::Text(text)) => {
                Ok(Response::new(Full::new(Bytes::from(text)).boxed_unsync()))
            }
            Some(Reply::Throttle(seconds)) => {
                let mut response = json_response(
                    429,
                    &json!({"kind": "Status", "message": "slow down", "code": 429}),
                );
                response.headers_mut().insert("retry-after", seconds.into());
                Ok(response)
            }
            Some(Reply::Silence) => std::future::pending().await,
            Some(Reply::Hangup) => Err(std::io::Error::other("hangup")),
            Some(Reply::Stream(lines, end)) => {
                let (out, lines_in) = mpsc::unbounded_channel();
                lines
                    .into_iter()
                    .for_each(|line| out.send(line).expect("open"));
                if end == End::Silent {
                    std::mem::forget(out);
                }
                Ok(Response::new(streamed(lines_in)))
            }
            None => Ok(self.serve(&asked)),
        }
    }

    fn serve(&self, asked: &Asked) -> Response<Body> {
        if asked.is_watch() {
            return Response::new(streamed(self.watch(asked)));
        }
        match asked.method {
            Method::PATCH if asked.query.contains("fieldManager") => self.patch(asked),
            Method::DELETE => self.delete(asked),
            Method::GET => {
                if let Some(object) = self.get(&asked.path) {
                    return json_response(200, &object);
                }
                let is_object = asked.path.rsplit('/').nth(1).is_some_and(|segment| {
                    segment.ends_with('s') && segment != "namespaces" && !segment.contains('.')
                });
                if is_object
                    && asked.path.contains("/namespaces/")
                    && asked.path.matches('/').count() >= 6
                {
                    return not_found(&asked.path);
                }
                self.list(asked)
            }
            _ => json_response(405, &json!({"message": "method not allowed"})),
        }
    }

    fn list(&self, asked: &Asked) -> Response<Body> {
        let store = self.store.lock().expect("lock");
        let name = asked
            .parameter("fieldSelector")
            .and_then(|selector| selector.strip_prefix("metadata.name=").map(str::to_owned));
        let of_here = store.objects.iter().filter(|(path, _)| {
            path.rsplit_once('/')
                .is_some_and(|(collection, _)| collection == asked.path)
        });
        let items: Vec<Value> = of_here
            .map(|(_, object)| object.clone())
            .filter(|object| {
                name.as_ref()
                    .is_none_or(|name| object["metadata"]["name"] == name.as_str())
            })
            .collect();
        json_response(
            200,
            &json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": store.version.to_string()}, "items": items}),
        )
    }

    fn watch(&self, asked: &Asked) -> mpsc::UnboundedReceiver<Value> {
        let mut store = self.store.lock().expect("lock");
        let (out, events) = mpsc::unbounded_channel();
        let from: u64 = asked
            .parameter("resourceVersion")
            .and_then(|version| version.parse().ok())
            .unwrap_or_default();
        for (version, collection, event) in &store.history {
            if *version > from && *collection == asked.path {
                let _ = out.send(event.clone());
            }
        }
        store.watchers.push((asked.path.clone(), out));
        events
    }

    fn patch(&self, asked: &Asked) -> Response<Body> {
        let known = self.get(&asked.path);
        let mut object = asked.body.clone();
        if let Some(known) = &known {
            let mut merged = known.clone();
            merge(&mut merged, &object);
            object = merged;
            let is_spec_same = known["spec"] == object["spec"];
            let generation = known["metadata"]["generation"].as_i64().unwrap_or(1);
            object["metadata"]["generation"] = json!(if is_spec_same {
                generation
            } else {
                generation + 1
            });
        } else {
            object["metadata"]["generation"] = json!(1);
        }
        if asked.query.contains("fieldManager=runbook&") {
            object["metadata"]["managedFields"] = json!([{"manager": "runbook", "operation": "Apply", "fieldsV1": fields(&asked.body)}]);
        }
        if asked.is_dry_run() {
            return json_response(200, &object);
        }
        let (collection, _) = asked.path.rsplit_once('/').expect("a path");
        json_response(
            if known.is_some() { 200 } else { 201 },
            &self.put(collection, object),
        )
    }

    fn delete(&self, asked: &Asked) -> Response<Body> {
        let Some(mut object) = self.get(&asked.path) else {
            return not_found(&asked.path);
        };
        if let Some(uid) = asked.body.pointer("/preconditions/uid")
            && *uid != object["metadata"]["uid"]
        {
            return json_response(
                409,
                &json!({"kind": "Status", "reason": "Conflict", "message": "Precondition failed: UID in precondition"}),
            );
        }
        if object.pointer("/metadata/finalizers").is_some() {
            object["metadata"]["deletionTimestamp"] = json!("2026-11-30T01:00:00Z");
            let (collection, _) = asked.path.rsplit_once('/').expect("a path");
            return json_response(200, &self.put(collection, object));
        }
        self.remove(&asked.path);
        json_response(200, &json!({"kind": "Status", "status": "Success"}))
    }
}

impl Store {
    fn tell(&mut self, version: u64, collection: &str, kind: &str, object: Value) {
        let event = json!({"type": kind, "object": object});
        self.history
            .push((version, collection.to_owned(), event.clone()));
        self.watchers
            .retain(|(path, out)| path != collection || out.send(event.clone()).is_ok());
    }
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// What an apply owns.
fn fields(value: &Value) -> Value {
    let Some(map) = value.as_object() else {
        return json!({});
    };
    let owned = map
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind" | "name" | "namespace"));
    Value::Object(
        owned
            .map(|(key, value)| (format!("f:{key}"), fields(value)))
            .collect::<Map<_, _>>(),
    )
}

fn streamed(lines: mpsc::UnboundedReceiver<Value>) -> Body {
    let frames = stream::unfold(lines, |mut lines| async move {
        let line = lines.recv().await?;
        Some((
            Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{line}\n")))),
            lines,
        ))
    });
    StreamBody::new(frames).boxed_unsync()
}

pub(crate) fn not_found(path: &str) -> Response<Body> {
    let mut segments = path.rsplit('/');
    let (name, kind) = (
        segments.next().unwrap_or_default(),
        segments.next().unwrap_or_default(),
    );
    let message = format!("{kind} \"{name}\" not found");
    json_response(
        404,
        &json!({"kind": "Status", "reason": "NotFound", "message": message, "details": {"name": name, "kind": kind}}),
    )
}

fn json_response(code: u16, body: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response
}

/// A kubeconfig in a directory of its own; `user` is YAML for the user. The directory goes when the first value is dropped.
pub(crate) fn kubeconfig(url: &str, user: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("kubeconfig");
    let user = if user.is_empty() { "{}" } else { user };
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: \"{url}\"}}}}]\nusers: [{{name: u, user: {user}}}]\n\
         contexts: [{{name: first, context: {{cluster: c, user: u, namespace: shop}}}}]\ncurrent-context: first\n"
    );
    std::fs::write(&path, text).expect("written");
    (directory, path)
}
