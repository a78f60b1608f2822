//! What a task sees and gets: output, exit status, user, namespaces, /tmp, environment, files.

use std::fs;

use mesosd::agent::ContainerConfig;
use mesosd::containerizer::LauncherChoice::{Auto, Linux, Posix};
use mesosd::proto::v1;

use crate::bench::{Bench, can_isolate};

fn stdout(config: &ContainerConfig) -> String {
    fs::read_to_string(config.sandbox.join("stdout")).unwrap()
}

fn exec_form(config: &mut ContainerConfig, arguments: &[&str]) {
    config.command.shell = Some(false);
    config.command.arguments = arguments.iter().map(|&a| a.to_owned()).collect();
}

#[tokio::test(flavor = "multi_thread")]
async fn posix_task_runs_in_its_sandbox_and_its_status_comes_back() {
    let mut bench = Bench::new(Posix);
    assert_eq!(bench.containerizer.notice(), None);
    let mut config = bench.container("pwd; echo $COLOUR; echo oops >&2; exit 7");
    config.command.environment = Some(v1::Environment {
        variables: vec![v1::environment::Variable {
            name: "COLOUR".into(),
            value: Some("red green".into()),
            ..Default::default()
        }],
    });
    let ended = bench.run(config.clone()).await;
    assert_eq!(ended.wait_status, Some(7 << 8), "{ended:?}");
    assert!(ended.message.contains("status 7"), "{ended:?}");
    let sandbox = config.sandbox.display();
    assert_eq!(stdout(&config), format!("{sandbox}\nred green\n"));
    let stderr = fs::read_to_string(config.sandbox.join("stderr")).unwrap();
    assert_eq!(stderr, "oops\n");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_form_passes_arguments_as_they_are() {
    let mut bench = Bench::new(Posix);
    let mut config = bench.container("printf");
    exec_form(&mut config, &["printf", "%s|", "a b", "$HOME", "c'd"]);
    let ended = bench.run(config.clone()).await;
    assert_eq!(ended.wait_status, Some(0), "{ended:?}");
    assert_eq!(stdout(&config), "a b|$HOME|c'd|");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn command_that_does_not_exist_is_named_in_the_sandbox() {
    for launcher in [Posix, Auto] {
        let mut bench = Bench::new(launcher);
        let mut config = bench.container("/no/such/program");
        exec_form(&mut config, &["/no/such/program"]);
        let ended = bench.run(config.clone()).await;
        assert_eq!(ended.wait_status, Some(127 << 8), "{ended:?}");
        let stderr = fs::read_to_string(config.sandbox.join("stderr")).unwrap();
        assert!(stderr.contains("\"/no/such/program\""), "{stderr}");
        bench.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn task_is_alone_in_its_pid_namespace() {
    if !can_isolate("task_is_alone_in_its_pid_namespace") {
        return;
    }
    let mut bench = Bench::new(Linux);
    let config = bench.container("echo $$; ls -d /proc/[0-9]* | wc -l; cat /proc/1/comm");
    let ended = bench.run(config.clone()).await;
    assert_eq!(ended.wait_status, Some(0), "{ended:?}");
    let text = stdout(&config);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "2", "{text}");
    // Process 1, the shell, ls and wc.
    assert!(lines[1].parse::<u32>().unwrap() <= 4, "{text}");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn task_has_its_own_tmp_and_private_mounts() {
    if !can_isolate("task_has_its_own_tmp_and_private_mounts") {
        return;
    }
    let mut bench = Bench::new(Linux);
    let mark = bench
        .dir
        .path()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    // The sandbox itself lies below /tmp here and must stay reachable by its path.
    let config = bench.container(&format!(
        "touch /tmp/{mark}.mine; ls -a /tmp; mkdir m; mount -t tmpfs none m; touch m/inside; ls m; \
         pwd; ls $MESOS_SANDBOX/stdout"
    ));
    let ended = bench.run(config.clone()).await;
    let text = stdout(&config);
    assert_eq!(ended.wait_status, Some(0), "{ended:?} {text}");
    assert!(text.contains(&format!("{mark}.mine")), "{text}");
    assert!(text.contains("inside"), "{text}");
    assert!(
        text.contains(&format!("{}/stdout", config.sandbox.display())),
        "{text}"
    );
    assert!(!std::path::Path::new(&format!("/tmp/{mark}.mine")).exists());
    assert!(config.sandbox.join(format!("tmp/{mark}.mine")).exists());
    assert!(!config.sandbox.join("m/inside").exists());
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn task_runs_as_its_user_with_that_users_groups_only() {
    if !can_isolate("task_runs_as_its_user_with_that_users_groups_only") {
        return;
    }
    let mut bench = Bench::new(Linux);
    // The way to the sandbox must be open to that user.
    use std::os::unix::fs::PermissionsExt as _;
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(bench.dir.path(), open).unwrap();
    let mut config = bench.container("id -un; id -G; touch mine; umask; echo x > /tmp/y");
    config.user = Some("nobody".into());
    let ended = bench.run(config.clone()).await;
    let text = stdout(&config);
    let stderr = fs::read_to_string(config.sandbox.join("stderr")).unwrap();
    assert_eq!(ended.wait_status, Some(0), "{ended:?} {text} {stderr}");
    assert!(text.starts_with("nobody\n65534\n0022\n"), "{text}");
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(
        fs::metadata(config.sandbox.join("mine")).unwrap().uid(),
        65534
    );
    let mut config = bench.container("true");
    config.user = Some("no-such-user-here".into());
    let ended = bench.run(config).await;
    assert_eq!(ended.wait_status, None);
    assert!(ended.message.contains("\"no-such-user-here\""), "{ended:?}");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_reach_a_task_and_default_dispositions_hold() {
    if !can_isolate("signals_reach_a_task_and_default_dispositions_hold") {
        return;
    }
    let mut bench = Bench::new(Linux);
    // A process 1 would ignore its own SIGTERM.
    let ended = bench.run(bench.container("kill -TERM $$; exit 3")).await;
    assert_eq!(ended.wait_status, Some(libc::SIGTERM), "{ended:?}");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_agent_is_inherited() {
    let mut bench = Bench::new(Auto);
    let leaked = fs::File::open("/dev/zero").unwrap();
    // As a careless library would leave it.
    // SAFETY: the descriptor is open; plain numbers.
    unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&leaked), libc::F_SETFD, 0) };
    let config = bench.container("ls -l /proc/$$/fd | grep -v ' -> .*pipe' ; env");
    let ended = bench.run(config.clone()).await;
    assert_eq!(ended.wait_status, Some(0), "{ended:?}");
    let text = stdout(&config);
    assert!(
        !text.contains("/dev/zero") && !text.contains("memfd"),
        "{text}"
    );
    assert!(!text.contains("CARGO"), "{text}");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_fetched_before_the_task_starts_and_a_failure_is_the_message() {
    let mut bench = Bench::new(Auto);
    let uri = |value: &str| v1::command_info::Uri {
        value: value.into(),
        ..Default::default()
    };
    let mut config = bench.container("cat input");
    config.command.uris = vec![uri("input")];
    let ended = bench.run(config.clone()).await;
    assert_eq!(ended.wait_status, Some(0), "{ended:?}");
    assert_eq!(stdout(&config), "fetched\n");
    let mut config = bench.container("true");
    config.command.uris = vec![uri("bad")];
    let ended = bench.run(config).await;
    assert_eq!(ended.message, "cannot fetch \"bad\"");
    assert_eq!(ended.wait_status, None);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_supported_is_refused_by_name() {
    let mut bench = Bench::new(Auto);
    let mut config = bench.container("true");
    config.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Docker.into(),
        ..Default::default()
    });
    let ended = bench.run(config).await;
    assert!(ended.message.contains("container type DOCKER"), "{ended:?}");
    let mut config = bench.container("true");
    config.command.value = None;
    let ended = bench.run(config).await;
    assert!(ended.message.contains("no value"), "{ended:?}");
    bench.finish().await;
}

/// Two volumes, one of them to be read only, that tasks of this container see.
fn with_volumes(config: &mut ContainerConfig) {
    let above = config.sandbox.parent().unwrap().join("volumes");
    for (name, read_only) in [("rw", false), ("ro", true)] {
        let host_path = above.join(name);
        fs::create_dir_all(&host_path).unwrap();
        fs::write(host_path.join("kept"), format!("{name}\n")).unwrap();
        config.volumes.push(mesosd::agent::ContainerVolume {
            host_path,
            container_path: format!("deep/{name}"),
            shared: false,
            read_only,
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_seen_at_their_places() {
    let mut bench = Bench::new(Posix);
    let mut config = bench.container("cat deep/rw/kept deep/ro/kept && echo new > deep/rw/new");
    with_volumes(&mut config);
    let ended = bench.run(config.clone()).await;
    assert_eq!(ended.wait_status, Some(0), "{ended:?}");
    assert_eq!(stdout(&config), "rw\nro\n");
    assert!(config.volumes[0].host_path.join("new").exists());
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_mounted_for_the_task_alone_and_read_only_ones_cannot_be_written() {
    if !can_isolate("volumes_are_mounted_for_the_task_alone_and_read_only_ones_cannot_be_written") {
        return;
    }
    let mut bench = Bench::new(Linux);
    let mut config = bench.container(
        "cat deep/rw/kept deep/ro/kept && echo new > deep/rw/new && ! echo no 2>&- > deep/ro/no && \
         grep -c 'deep/r[ow] ' /proc/self/mountinfo",
    );
    with_volumes(&mut config);
    let ended = bench.run(config.clone()).await;
    let stderr = fs::read_to_string(config.sandbox.join("stderr")).unwrap();
    assert_eq!(ended.wait_status, Some(0), "{ended:?} {stderr}");
    let said = stdout(&config);
    assert!(said.starts_with("rw\nro\n"), "{said}");
    assert!(config.volumes[0].host_path.join("new").exists());
    assert!(!config.volumes[1].host_path.join("no").exists());
    // On the host there are empty folders, and no mounts.
    let place = config.sandbox.join("deep/rw");
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("deep/rw"), "{mounts}");

    // A link that a task's user has put in the way is not followed.
    let mut config = bench.container("true");
    with_volumes(&mut config);
    fs::create_dir_all(&config.sandbox).unwrap();
    std::os::unix::fs::symlink("/etc", config.sandbox.join("deep")).unwrap();
    let ended = bench.run(config).await;
    assert_eq!(ended.wait_status, None, "{ended:?}");
    assert!(ended.message.contains("deep/rw"), "{ended:?}");
    bench.finish().await;
}
