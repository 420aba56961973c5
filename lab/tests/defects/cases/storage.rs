//! Storages, backups, pools.

use serde_json::json;

use super::{Lab, Verdict, cases, column, holds, is, refuses};

cases! {
    "a storage lists what it holds, by kind": content,
    "a volume that is removed is gone": removed,
    "a backup comes back under another number": backup,
    "a protected backup stays": protected,
    "a guest without a backup storage is an error of the job": no_guest,
    "old backups are pruned, the newest is kept": pruned,
    "a pool with members stays": pool,
    "a checksum that does not fit leaves no file": checksum,
    "a job that was written is read back": job,
}

const CONTENT: &str = "/nodes/pve1/storage/local/content";

async fn content(lab: Lab) -> Verdict {
    let rows = lab.get(&format!("{CONTENT}?content=vztmpl")).await?;
    is(
        "the templates",
        &column(&rows, "volid").into(),
        json!([
            "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst",
            "local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst"
        ]),
    )?;
    is("their format", &rows[0]["format"], "tzst")?;
    let bad = lab
        .call("GET", "/nodes/pve1/storage/nope/content", &[])
        .await;
    refuses(&bad, 500, "storage 'nope' does not exist")
}

async fn removed(lab: Lab) -> Verdict {
    let volid = "local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst";
    lab.done("DELETE", &format!("{CONTENT}/{volid}"), &[])
        .await?;
    let left = column(&lab.get(CONTENT).await?, "volid");
    holds("it is gone", !left.contains(&volid.into()))
}

/// Backs up 100 and says how the archive is called.
async fn archive(lab: &Lab) -> Result<String, String> {
    let params = [
        ("vmid", "100"),
        ("storage", "local"),
        ("compress", "zstd"),
        ("notes-template", "{{guestname}}"),
    ];
    lab.done("POST", "/nodes/pve1/vzdump", &params).await?;
    let rows = lab.get(&format!("{CONTENT}?content=backup")).await?;
    is("the note", &rows[0]["notes"], "ct")?;
    is("whose it is", &rows[0]["vmid"], 100)?;
    let volid = rows[0]["volid"].as_str().ok_or("no backup")?;
    Ok(volid.to_owned())
}

async fn backup(lab: Lab) -> Verdict {
    let volid = archive(&lab).await?;
    let params = [
        ("vmid", "140"),
        ("ostemplate", volid.as_str()),
        ("restore", "1"),
        ("storage", "thin"),
    ];
    lab.done("POST", "/nodes/pve1/lxc", &params).await?;
    let config = lab.get("/nodes/pve1/lxc/140/config").await?;
    is(
        "what came back",
        &json!([config["hostname"], config["cores"], config["rootfs"]]),
        json!(["ct", 1, "thin:vm-140-disk-0,size=4G"]),
    )
}

async fn protected(lab: Lab) -> Verdict {
    let volid = archive(&lab).await?;
    let path = format!("{CONTENT}/{volid}");
    lab.data("PUT", &path, &[("protected", "1")]).await?;
    lab.fails("DELETE", &path, &[], "can't remove protected archive")
        .await?;
    lab.data("PUT", &path, &[("protected", "0")]).await?;
    lab.done("DELETE", &path, &[]).await
}

async fn no_guest(lab: Lab) -> Verdict {
    let params = [("vmid", "999"), ("storage", "local")];
    lab.fails("POST", "/nodes/pve1/vzdump", &params, "job errors")
        .await
}

async fn pruned(lab: Lab) -> Verdict {
    archive(&lab).await?;
    lab.done(
        "POST",
        "/nodes/pve1/vzdump",
        &[("vmid", "100"), ("storage", "local"), ("compress", "zstd")],
    )
    .await?;
    let path = "/nodes/pve1/storage/local/prunebackups";
    let keep = [("prune-backups", "keep-last=1")];
    let rows = lab.data("GET", path, &keep).await?;
    is(
        "marks",
        &column(&rows, "mark").into(),
        json!(["remove", "keep"]),
    )?;
    let none = lab.call("GET", path, &[]).await;
    refuses(
        &none,
        500,
        "no prune-backups options configured for storage 'local'",
    )?;
    lab.done("DELETE", path, &keep).await?;
    let left = column(
        &lab.get(&format!("{CONTENT}?content=backup")).await?,
        "volid",
    );
    is("what is left", &left.into(), json!([rows[1]["volid"]]))
}

async fn pool(lab: Lab) -> Verdict {
    lab.data("POST", "/pools", &[("poolid", "labs")]).await?;
    lab.data("PUT", "/pools", &[("poolid", "labs"), ("vms", "100")])
        .await?;
    refuses(
        &lab.call("DELETE", "/pools/labs", &[]).await,
        500,
        "delete pool failed: pool 'labs' is not empty (contains VM 100)",
    )?;
    lab.done("DELETE", "/nodes/pve1/lxc/100", &[]).await?;
    lab.data("DELETE", "/pools/labs", &[]).await?;
    is("the pools", &lab.get("/pools").await?, json!([]))
}

async fn checksum(lab: Lab) -> Verdict {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| error.to_string())?;
    let port = listener
        .local_addr()
        .map_err(|error| error.to_string())?
        .port();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello").await;
        }
    });
    let url = format!("http://127.0.0.1:{port}/x.iso");
    let sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let path = "/nodes/pve1/storage/local/download-url";
    let with = |sum: &'static str| {
        [
            ("url", url.clone()),
            ("content", "iso".to_owned()),
            ("filename", "x.iso".to_owned()),
            ("checksum", sum.to_owned()),
            ("checksum-algorithm", "sha256".to_owned()),
        ]
    };
    let wrong = with("00");
    let wrong: Vec<(&str, &str)> = wrong
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let exit = lab.task("POST", path, &wrong).await?;
    is(
        "a wrong one",
        &exit.into(),
        format!("checksum mismatch: got '{sum}' != expect '00'"),
    )?;
    let list = lab.get(&format!("{CONTENT}?content=iso")).await?;
    is("no file is left", &list, json!([]))?;
    let right = with(sum);
    let right: Vec<(&str, &str)> = right
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    lab.done("POST", path, &right).await?;
    serving.abort();
    let list = lab.get(&format!("{CONTENT}?content=iso")).await?;
    is("the file's size", &list[0]["size"], 5)
}

async fn job(lab: Lab) -> Verdict {
    let params = [
        ("id", "night"),
        ("schedule", "daily"),
        ("storage", "local"),
        ("vmid", "100"),
    ];
    lab.data("POST", "/cluster/backup", &params).await?;
    let job = lab.get("/cluster/backup/night").await?;
    is(
        "the job",
        &json!([job["schedule"], job["storage"], job["vmid"]]),
        json!(["daily", "local", "100"]),
    )?;
    lab.data("DELETE", "/cluster/backup/night", &[]).await?;
    is("the jobs", &lab.get("/cluster/backup").await?, json!([]))
}
