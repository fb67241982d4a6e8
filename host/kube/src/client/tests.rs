//! Every way not to get a client has its own words, and none of them a secret.

use std::fmt::Write as _;
use std::path::PathBuf;

use expect_test::{Expect, expect};
use http::Uri;
use kube::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{ClientOptions, ConnectError, connect, proxy_for, read_merged};

const SECRET: &str = "s3cr3t-t0k3n";

/// Connects with a kubeconfig of this content; shows why it fails, or `fine`.
fn attempt(name: &str, file: &str, context: Option<&str>) -> String {
    let path = std::env::temp_dir().join(format!("sluice-kubeconfig-{}-{name}", std::process::id()));
    std::fs::write(&path, file).unwrap();
    let options = ClientOptions { kubeconfig: Some(path.clone()), context: context.map(str::to_owned), patience: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(async { connect(&options).await.map(|_| ()) });
    std::fs::remove_file(&path).unwrap();
    let text = result.map_or_else(|error| error.to_string(), |()| "fine".to_owned());
    assert!(!text.contains(SECRET), "{text}");
    text.replace(&path.display().to_string(), "FILE")
}

fn kubeconfig(cluster: &str, user: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Config, current-context: main, contexts: [{{name: main, context: {{cluster: c, user: u}}}}], \
         clusters: [{{name: c, cluster: {{{cluster}}}}}], users: [{{name: u, user: {{{user}}}}}]}}"
    )
}

#[test]
fn kubeconfigs() {
    let token = format!("token: {SECRET}");
    let plain = "server: 'http://127.0.0.1:1'";
    let mut shown = String::new();
    let mut check = |name: &str, content: String, context| {
        writeln!(shown, "{name}: {}", attempt(name, &content, context)).unwrap();
    };
    check("good", kubeconfig(plain, &token), None);
    check("no-context", "{apiVersion: v1, kind: Config}".to_owned(), None);
    check("unknown-context", kubeconfig(plain, &token), Some("other"));
    check("unknown-cluster", kubeconfig(plain, &token).replace("name: c,", "name: d,"), None);
    check("no-server", kubeconfig("", &token), None);
    check("bad-server", kubeconfig("server: 'http://a b'", &token), None);
    check(
        "no-ca-file",
        kubeconfig("server: 'https://127.0.0.1:1', certificate-authority: /nowhere/ca.crt", &token),
        None,
    );
    check("bad-ca-data", kubeconfig("server: 'https://127.0.0.1:1', certificate-authority-data: '###'", &token), None);
    check("bad-yaml", format!("users:\n- name: u\n  user: {{token: {SECRET}\n"), None);
    check("wrong-type", format!("clusters: {SECRET}"), None);
    check("bad-proxy", kubeconfig(&format!("{plain}, proxy-url: 'socks5://u:{SECRET}@proxy:1080'"), &token), None);
    check("bad-token", kubeconfig(plain, &format!("token: \"{SECRET}\\n\"")), None);
    check(
        "no-login",
        kubeconfig(
            plain,
            "exec: {apiVersion: client.authentication.k8s.io/v1, command: /nowhere/login, interactiveMode: Never}",
        ),
        None,
    );
    check(
        "failed-login",
        kubeconfig(
            plain,
            &format!(
                "exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: ['-c', 'echo {SECRET}; exit 3'], interactiveMode: Never}}"
            ),
        ),
        None,
    );
    expect![[r#"
        good: fine
        no-context: kubeconfig FILE: current-context: missing
        unknown-context: kubeconfig FILE: contexts: there is no other
        unknown-cluster: kubeconfig FILE: clusters: there is no c
        no-server: kubeconfig FILE: clusters[].cluster.server: missing
        bad-server: kubeconfig FILE: clusters[].cluster.server: invalid uri character
        no-ca-file: kubeconfig FILE: failed to load certificate authority: failed to read file '"/nowhere/ca.crt"': No such file or directory (os error 2)
        bad-ca-data: kubeconfig FILE: failed to load certificate authority: failed to decode base64 data: Invalid symbol 35, offset 0.
        bad-yaml: kubeconfig FILE: not YAML at line 4 column 1
        wrong-type: kubeconfig FILE: YAML, but not a kubeconfig: a field is missing or of the wrong type
        bad-proxy: clusters[].cluster.proxy-url: only http and https proxies are served
        bad-token: cannot make a client for http://127.0.0.1:1/: users[].user.token: has characters that no HTTP header may have
        no-login: cannot make a client for http://127.0.0.1:1/: users[].user.exec: the login command does not start: No such file or directory (os error 2)
        failed-login: cannot make a client for http://127.0.0.1:1/: users[].user.exec: the login command failed: exit status: 3
    "#]].assert_eq(&shown);
}

#[test]
fn missing_files() {
    let options = ClientOptions { kubeconfig: Some("/nowhere/config".into()), context: None, patience: None };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(async { connect(&options).await.map(|_| ()) }).unwrap_err();
    expect!["kubeconfig /nowhere/config: No such file or directory (os error 2)"].assert_eq(&error.to_string());
    let files: [PathBuf; 2] = ["/nowhere/a".into(), "/nowhere/b".into()];
    let error = read_merged(&files, "/nowhere/a:/nowhere/b").unwrap_err();
    expect!["kubeconfig /nowhere/a:/nowhere/b: no such file"].assert_eq(&error.to_string());
}

/// The proxy for a server in an environment given as `NAME=value` words.
fn check_proxy(server: &str, environment: &str, expected: &Expect) {
    let server: Uri = server.parse().unwrap();
    let look_up = |name: &str| {
        environment.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    let shown = match proxy_for(&server, look_up) {
        Ok(proxy) => format!("{proxy:?}"),
        Err(error @ ConnectError::Proxy { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
    };
    expected.assert_eq(&shown);
}

#[test]
fn proxies() {
    let api = "https://api.example:6443";
    check_proxy(api, "", &expect!["None"]);
    check_proxy(api, "HTTPS_PROXY=http://u:p@proxy:3128", &expect!["Some(http://u:p@proxy:3128/)"]);
    check_proxy(api, "https_proxy=proxy:3128", &expect!["Some(http://proxy:3128/)"]);
    check_proxy(api, "ALL_PROXY=https://proxy:3128", &expect!["Some(https://proxy:3128/)"]);
    check_proxy(api, "HTTP_PROXY=http://proxy:3128", &expect!["None"]);
    check_proxy("http://api.example:8080", "HTTP_PROXY=http://proxy:3128", &expect!["Some(http://proxy:3128/)"]);
    check_proxy(api, "HTTPS_PROXY=http://proxy:3128 NO_PROXY=.example,", &expect!["None"]);
    check_proxy(api, "HTTPS_PROXY=http://proxy:3128 no_proxy=*", &expect!["None"]);
    check_proxy(
        "https://172.30.0.1:443",
        "HTTPS_PROXY=http://proxy:3128 NO_PROXY=.svc,172.30.0.0/16",
        &expect!["None"],
    );
    check_proxy(
        "https://172.31.0.1:443",
        "HTTPS_PROXY=http://proxy:3128 NO_PROXY=.svc,172.30.0.0/16",
        &expect!["Some(http://proxy:3128/)"],
    );
    check_proxy(
        api,
        "HTTPS_PROXY=socks5://u:p@proxy:1080",
        &expect!["HTTPS_PROXY: only http and https proxies are served"],
    );
    check_proxy(api, "HTTPS_PROXY=http://", &expect!["HTTPS_PROXY: not an address such as http://proxy:3128"]);
}

/// Reads the head of a request or of an answer.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

/// As companies have them: everything goes through a tunnel, for which one has to log in.
#[test]
fn requests_go_through_a_proxy_with_its_login_and_ours() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config::new("http://api.example:8080/".parse().unwrap());
        config.proxy_url = Some(format!("http://user:p%40ss@{}", listener.local_addr().unwrap()).parse().unwrap());
        config.auth_info.token = Some(SECRET.to_owned().into());
        let client = super::client(config, None).unwrap();
        let proxy = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let asked = head(&mut stream).await;
            assert!(asked.starts_with("connect api.example:8080 http/1.1\r\n"), "{asked}");
            // Of user:p@ss.
            assert!(asked.contains("proxy-authorization: basic dxnlcjpwqhnz\r\n"), "{asked}");
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let asked = head(&mut stream).await;
            assert!(asked.starts_with("get /version http/1.1\r\n"), "{asked}");
            assert!(asked.contains(&format!("authorization: bearer {SECRET}\r\n")), "{asked}");
            assert!(asked.contains("user-agent: sluice/"), "{asked}");
            let body = r#"{"major":"1","minor":"33","gitVersion":"v1.33.0","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        };
        let (_stream, version) = tokio::join!(proxy, client.apiserver_version());
        assert_eq!(version.unwrap().git_version, "v1.33.0");
    });
}
