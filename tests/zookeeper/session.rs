//! The session: what the client library does wrong elsewhere, or would if it were used otherwise.

use std::process::Command;
use std::time::{Duration, Instant};

use mesosd::election::session::{Change, Scheme, Session, Tls, ZooKeeperError};
use mesosd::testing::ensemble::Ensemble;

use super::{access, open, until};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_and_questions_survive_a_restart_of_the_server() {
    let Some(mut ensemble) = Ensemble::start("zookeeper: restart", 1) else {
        return;
    };
    let url = ensemble.url("/a/b");
    let session = open(&url, 20_000).await;
    // The path is not there yet, and needs no chroot.
    let missing = session.list("/a/b").await;
    assert_eq!(missing, Err(ZooKeeperError::Missing("/a/b".to_owned())));
    session.make_path("/a/b").await.unwrap();
    session.make_path("/a/b").await.unwrap();
    let (names, watch) = session.list_and_watch("/a/b").await.unwrap();
    assert_eq!(names, Vec::<String>::new());

    ensemble.crash(0);
    let early = session.clone();
    let question = tokio::spawn(async move { early.list("/a/b").await });
    tokio::time::sleep(SECOND).await;
    ensemble.revive(0);
    ensemble.wait();
    // Asked while nobody answered: lost or answered, but not for ever.
    let answer = tokio::time::timeout(21 * SECOND, question).await.unwrap();
    match answer.unwrap() {
        Ok(names) => assert!(names.is_empty()),
        Err(error) => assert!(error.is_lost(), "{error}"),
    }
    let other = open(&url, 5_000).await;
    let node = other.enter("/a/b", b"x").await.unwrap();
    tokio::time::timeout(10 * SECOND, watch.fired())
        .await
        .expect("the watch is set again after the restart");
    let content = session
        .read(&format!("/a/b/{node}"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (content.owner, content.data),
        (Some(other.id()), b"x".to_vec())
    );

    // Closing is heard at once, not after the session timeout.
    let begin = Instant::now();
    other.close().await;
    let gone = async || {
        session
            .read(&format!("/a/b/{node}"))
            .await
            .unwrap()
            .is_none()
    };
    until("the ephemeral znode goes", 2 * SECOND, gone).await;
    assert!(begin.elapsed() < 2 * SECOND, "{:?}", begin.elapsed());

    // All or none, and the guilty one is named.
    let changes = [
        Change::Create("/a/one".to_owned(), b"1".to_vec()),
        Change::Set("/a/two".to_owned(), b"2".to_vec(), None),
    ];
    let error = session.transact(&changes).await.unwrap_err();
    assert_eq!(error, ZooKeeperError::Missing("/a/two".to_owned()));
    assert_eq!(session.read("/a/one").await, Ok(None));
    let version = Change::Set("/a/b".to_owned(), Vec::new(), Some(7));
    let error = session.transact(&[version]).await.unwrap_err();
    assert_eq!(error, ZooKeeperError::Changed("/a/b".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_over_says_so_and_a_new_one_can_be_opened() {
    let Some(mut ensemble) = Ensemble::start("zookeeper: expiry", 1) else {
        return;
    };
    let url = ensemble.url("");
    let session = open(&url, 1_000).await;
    ensemble.crash(0);
    let begin = Instant::now();
    tokio::time::timeout(5 * SECOND, session.ended())
        .await
        .expect("the client does not wait for ever");
    // Later than the server: who leads must not wait for it (the lease does not).
    assert!(begin.elapsed() > SECOND, "{:?}", begin.elapsed());
    assert_eq!(session.list("").await, Err(ZooKeeperError::Ended));

    // Nobody is there: an answer all the same, and no processor spins.
    let before = processor_time();
    let begin = Instant::now();
    let refused = Session::open(&access(&url, 1_000)).await.unwrap_err();
    assert!(refused.is_lost(), "{refused}");
    assert!(begin.elapsed() < 3 * SECOND, "{:?}", begin.elapsed());
    let spent = processor_time() - before;
    assert!(spent < begin.elapsed() / 2, "{spent:?}");

    ensemble.revive(0);
    ensemble.wait();
    open(&url, 1_000).await.list("").await.unwrap();
}

/// Of this whole process; other tests run at the same time, so bounds are wide.
fn processor_time() -> Duration {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD).unwrap();
    let time = usage.user_time();
    Duration::from_micros(u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_left_before_a_lease_would_end() {
    let Some(ensemble) = Ensemble::start("zookeeper: frozen member", 3) else {
        return;
    };
    let timeout = Duration::from_millis(8_000);
    let session = open(&ensemble.url(""), 8_000).await;
    let id = session.id();
    for server in 0..ensemble.count() {
        // One of them is the one that we are connected to, one leads the ensemble.
        ensemble.freeze(server);
        let begin = Instant::now();
        until("somebody answers", 3 * timeout, async || {
            session.sync("/").await.is_ok()
        })
        .await;
        let silence = begin.elapsed();
        ensemble.thaw(server);
        assert!(silence < timeout * 60 / 100, "server {server}: {silence:?}");
        until("all are well", 4 * timeout, async || {
            session.sync("/").await.is_ok()
        })
        .await;
        ensemble.wait();
    }
    assert_eq!(session.id(), id, "the session has lived through it");
    session.list("").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_credentials_protect_stays_ours_after_a_reconnection() {
    let Some(mut ensemble) = Ensemble::start("zookeeper: digest", 1) else {
        return;
    };
    let plain = ensemble.url("/cell");
    let known = plain.replace("zk://", "zk://joe:se@cret@");
    let session = open(&known, 20_000).await;
    session.make_path("/cell").await.unwrap();
    let node = session.enter("/cell", b"who").await.unwrap();
    let stranger = open(&plain, 20_000).await;
    let read = stranger.read(&format!("/cell/{node}")).await.unwrap();
    assert_eq!(read.unwrap().data, b"who", "everybody may read");
    let refused = stranger.enter("/cell", b"me").await.unwrap_err();
    assert!(matches!(refused, ZooKeeperError::Access(_)), "{refused}");
    ensemble.crash(0);
    ensemble.revive(0);
    ensemble.wait();
    until("the session is back", 10 * SECOND, async || {
        session.sync("/").await.is_ok()
    })
    .await;
    session.enter("/cell", b"again").await.unwrap();
    assert!(!format!("{:?}", access(&known, 1_000)).contains("cret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sasl_knows_a_good_password_from_a_bad_one() {
    let java = [
        "-Djava.security.auth.login.config=DIR/jaas.conf",
        "-Dzookeeper.authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
    ];
    // The file must be there when the server starts.
    let dir = tempfile::tempdir().unwrap();
    let jaas = dir.path().join("jaas.conf");
    let text = "Server {\n org.apache.zookeeper.server.auth.DigestLoginModule required\n \
                user_joe=\"secret\";\n};\n";
    std::fs::write(&jaas, text).unwrap();
    let java = java.map(|option| option.replace("DIR/jaas.conf", &jaas.display().to_string()));
    let java: Vec<&str> = java.iter().map(String::as_str).collect();
    let Some(ensemble) = Ensemble::with("zookeeper: sasl", 1, "", &java) else {
        return;
    };
    let with = |who: &str| {
        let mut access = access(
            &ensemble.url("/s").replace("zk://", &format!("zk://{who}@")),
            5_000,
        );
        access.scheme = Scheme::Sasl;
        access
    };
    let session = Session::open(&with("joe:secret")).await.unwrap();
    session.make_path("/s").await.unwrap();
    session.enter("/s", b"x").await.unwrap();
    let stranger = open(&ensemble.url("/s"), 5_000).await;
    let refused = stranger.enter("/s", b"y").await.unwrap_err();
    assert!(matches!(refused, ZooKeeperError::Access(_)), "{refused}");
    let wrong = Session::open(&with("joe:wrong")).await.unwrap_err();
    assert_eq!(wrong, ZooKeeperError::Credentials);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_may_be_encrypted() {
    let dir = tempfile::tempdir().unwrap();
    let openssl = |words: &[&str]| {
        let made = Command::new("openssl")
            .args(words)
            .current_dir(dir.path())
            .output();
        let made = made.unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    for name in ["ca", "other"] {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        let new = [
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ca",
        ];
        openssl(&[&new[..], &["-keyout", &key, "-out", &certificate]].concat());
    }
    std::fs::write(
        dir.path().join("names"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1\n",
    )
    .unwrap();
    let new = [
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
    ];
    openssl(&[&new[..], &["-keyout", "server.key", "-out", "server.csr"]].concat());
    let sign = [
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
    ];
    let rest = [
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "names",
        "-out",
        "server.crt",
    ];
    openssl(&[&sign[..], &rest[..]].concat());
    let (authorities, other) = (read("ca.crt"), read("other.crt"));
    let pem = dir.path().join("server.pem");
    std::fs::write(&pem, read("server.key") + &read("server.crt")).unwrap();
    let trusted = dir.path().join("ca.crt");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let lines = format!(
        "secureClientPort={port}\nsecureClientPortAddress=127.0.0.1\n\
         serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
         ssl.keyStore.location={}\nssl.keyStore.type=PEM\nssl.keyStore.password=\n\
         ssl.trustStore.location={}\nssl.trustStore.type=PEM\nssl.clientAuth=none\n",
        pem.display(),
        trusted.display()
    );
    let Some(_ensemble) = Ensemble::with("zookeeper: tls", 1, &lines, &[]) else {
        return;
    };
    let with = |authorities: &str| {
        let mut access = access(&format!("zk://localhost:{port}/t"), 5_000);
        access.tls = Some(Tls {
            authorities: authorities.to_owned(),
            identity: None,
        });
        access
    };
    let session = Session::open(&with(&authorities)).await.unwrap();
    session.make_path("/t").await.unwrap();
    let stranger = Session::open(&with(&other)).await.unwrap_err();
    assert!(stranger.is_lost(), "{stranger}");
    let nothing = Session::open(&with("no certificate")).await.unwrap_err();
    assert!(
        matches!(nothing, ZooKeeperError::Certificates(_)),
        "{nothing}"
    );
}
