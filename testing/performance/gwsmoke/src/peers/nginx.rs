//! nginx as a server of files: `sendfile` for what is read, DAV for what is put, nothing logged.

use std::path::Path;
use std::process::Command;

use super::program::{NGINX, Running};
use crate::failure::{Failure, io};
use crate::load::content::Content;

/// One process that does everything: its time is all of nginx's, and it is one core at most, as one
/// worker of a node is.
fn configuration(folder: &str, port: u16) -> String {
    format!(
        "daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.err error;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; server_tokens off;
  keepalive_requests 100000000; keepalive_timeout 75s;
  open_file_cache max=4096 inactive=300s; open_file_cache_valid 300s;
  client_max_body_size 128m; client_body_buffer_size 16k; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  default_type application/octet-stream;
  server {{
    listen 127.0.0.1:{port} backlog=4096; root {folder}/www;
    location /put/ {{ dav_methods PUT; create_full_put_path on; open_file_cache off; }}
  }}
}}
"
    )
}

/// Starts it in `folder`.
///
/// # Errors
///
/// If it is not installed, or does not start.
pub(super) fn start(folder: &Path) -> Result<Running, Failure> {
    for name in ["www/o", "www/put"] {
        std::fs::create_dir_all(folder.join(name)).map_err(io(name))?;
    }
    let text = folder.display().to_string();
    // Its configuration has no way to write these.
    if text.contains([' ', '"', '\'', ';', '{', '}', '$', '\\', '#']) {
        return Err(Failure::wrong(format!(
            "nginx cannot be told of the folder {text}"
        )));
    }
    Running::start(NGINX, folder, |path, port| {
        let file = folder.join("nginx.conf");
        std::fs::write(&file, configuration(&text, port)).map_err(io(file.display()))?;
        let mut command = Command::new(path);
        command.arg("-e").arg(folder.join("nginx.err"));
        command.arg("-p").arg(folder).arg("-c").arg(file);
        Ok(command)
    })
}

/// Lays objects where a GET finds them.
///
/// # Errors
///
/// If there is no room for them.
pub(super) fn lay(folder: &Path, content: &Content) -> Result<(), Failure> {
    for object in &content.objects {
        let file = folder.join("www/o").join(object.address.to_string());
        let bytes = content.bytes_of(&object.body);
        std::fs::write(&file, bytes).map_err(io(file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_it_writes_is_in_its_folder_and_it_listens_on_loopback_alone() {
        let text = configuration("/f", 4711);
        for line in text
            .split(';')
            .filter(|line| line.contains("_path ") || line.contains("pid "))
        {
            let value = line.split_whitespace().last();
            let is_switch = line.contains("create_full_put_path");
            assert!(
                is_switch || value.is_some_and(|value| value.starts_with("/f/")),
                "{line}"
            );
        }
        assert_eq!(text.matches("listen ").count(), 1);
        assert!(text.contains("listen 127.0.0.1:4711 "));
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }
}
