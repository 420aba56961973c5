//! Any call of the API: `proxmox`.

use runbook::result::Fields;
use runbook_proxmox::{Method, Request};
use serde_json::Value;

use super::world::{Done, Stop, World};

/// A call, as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Below `/api2/json`.
    pub path: String,
    /// The method's name.
    pub method: String,
    /// Its parameters.
    pub params: Vec<(String, Value)>,
}

impl Call {
    /// The request.
    ///
    /// # Errors
    ///
    /// A path or a parameter that cannot be sent.
    pub fn request(&self) -> Done<Request> {
        let path = self.below();
        if path.contains(['?', '#', ' ', '\n']) || path.contains("..") {
            return Err(Stop::refused(
                format!("`{}` is no path of the API", self.path),
                "write parameters under `params`",
            ));
        }
        let method = match self.method.as_str() {
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            _ => Method::Get,
        };
        let mut request = Request::any(method, path);
        for (key, value) in &self.params {
            let values = match value {
                Value::Array(items) => items.as_slice(),
                one => std::slice::from_ref(one),
            };
            for value in values {
                request = match value {
                    Value::String(text) => request.with(key.as_str(), text),
                    Value::Bool(on) => request.flag(key.as_str(), *on),
                    Value::Number(number) => request.with(key.as_str(), number),
                    Value::Null => request,
                    Value::Array(_) | Value::Object(_) => {
                        return Err(Stop::refused(
                            format!("parameter `{key}` is a map"),
                            "write it as the API takes it: a text such as `name=eth0,bridge=vmbr0`",
                        ));
                    }
                };
            }
        }
        Ok(request)
    }

    /// The path below `/api2/json`, whether it is written with it or without.
    pub fn below(&self) -> &str {
        let path = self.path.trim();
        path.strip_prefix("/api2/json").unwrap_or(path)
    }

    /// As people read it; no parameters, which may be secrets.
    pub fn shown(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// Calls, and waits for the task where there is one.
///
/// # Errors
///
/// What the server refuses, a task that failed.
pub async fn run(world: &World, call: &Call) -> Done<(Value, Option<String>)> {
    let request = call.request()?;
    let data = if call.method == "GET" {
        world.read(world.client.call(&request)).await?
    } else {
        world.run(&request).await?
    };
    // The name of a task that somebody reads was not begun by this call.
    let task = data
        .as_str()
        .filter(|text| call.method != "GET" && text.starts_with("UPID:"))
        .map(str::to_owned);
    Ok((data, task))
}

/// The fields of a result.
pub fn fields(data: Value, task: Option<String>, log: String) -> Fields {
    let mut fields = Fields::new();
    fields.set("json", data);
    if let Some(task) = task {
        fields.set("task", task);
        fields.set("log", log);
    }
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(path: &str, params: &[(&str, Value)]) -> Call {
        Call {
            path: path.into(),
            method: "POST".into(),
            params: params
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
        }
    }

    #[test]
    fn parameters_are_sent_as_the_server_takes_them() {
        let request = call(
            "/api2/json/nodes/pve1/qemu/200/agent/exec",
            &[
                ("command", json!(["ls", "-l"])),
                ("x", json!(true)),
                ("n", json!(3)),
            ],
        )
        .request()
        .unwrap();
        assert_eq!(request.path(), "/nodes/pve1/qemu/200/agent/exec");
        let params: Vec<String> = request
            .params()
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(params, ["command=ls", "command=-l", "x=1", "n=3"]);
        assert!(call("/x?y=1", &[]).request().is_err());
        assert!(call("/x", &[("m", json!({"a": 1}))]).request().is_err());
    }
}
