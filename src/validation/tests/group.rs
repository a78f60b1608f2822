//! Task groups of a LAUNCH_GROUP.

use super::super::task_group::{ValidTaskGroup, check};
use super::*;

fn group_executor() -> v1::ExecutorInfo {
    let mut info = executor("e");
    info.set_type(v1::executor_info::Type::Default);
    info.command = None;
    info
}

fn launch(
    executor: &v1::ExecutorInfo,
    tasks: Vec<v1::TaskInfo>,
    world: &World,
) -> Result<ValidTaskGroup, String> {
    let group = v1::TaskGroupInfo { tasks };
    with_context(world, |context| {
        check(executor, &group, context, &offered())
    })
    .map_err(|invalid| invalid.to_string())
}

fn isolated(mut task: v1::TaskInfo) -> v1::TaskInfo {
    let linux = v1::LinuxInfo {
        share_cgroups: Some(false),
        ..Default::default()
    };
    task.container = Some(v1::ContainerInfo {
        r#type: 2,
        linux_info: Some(linux),
        ..Default::default()
    });
    task
}

#[test]
fn a_group_takes_all_or_nothing() {
    let world = World::default();
    let tasks = || vec![sleeper("a"), sleeper("b")];
    let valid = launch(&group_executor(), tasks(), &world).unwrap();
    assert_eq!(
        valid.consumed.unallocated(),
        bag("cpus:2.1;mem:160;disk:10")
    );
    assert_eq!(valid.tasks.len(), 2);
    let filled = valid.tasks[0].info.executor.as_ref().unwrap();
    assert_eq!(filled.framework_id.as_ref().unwrap().value, "f");

    let mut world = World::default();
    world
        .executors
        .insert(valid.executor.id.clone(), (*valid.executor.info).clone());
    let more = launch(&group_executor(), tasks(), &world).unwrap();
    assert_eq!(more.consumed.unallocated(), bag("cpus:2;mem:128"));

    let many = (0..4).map(|n| sleeper(&n.to_string())).collect();
    let answer = launch(&group_executor(), many, &World::default()).unwrap_err();
    assert!(
        answer.starts_with("resources: cpus:4.1;disk:10;mem:288 asked for"),
        "{answer}"
    );
}

#[test]
fn bad_groups_are_named() {
    let answer = |executor: &v1::ExecutorInfo, tasks| {
        launch(executor, tasks, &World::default())
            .err()
            .unwrap_or_default()
    };
    let good = group_executor();
    assert_eq!(answer(&good, vec![]), "task_group.tasks: must not be empty");
    assert_eq!(
        answer(&good, vec![sleeper("a"), sleeper("a")]),
        "task_group.tasks: 'a' is given twice"
    );
    let mut other = sleeper("a");
    other.executor = Some(executor("x"));
    assert_eq!(
        answer(&good, vec![other]),
        "task_group.tasks[a].executor: must be the group's executor, or unset"
    );
    let mut same = sleeper("a");
    same.executor = Some(good.clone());
    assert_eq!(answer(&good, vec![same]), "");
    let docker = v1::ContainerInfo {
        r#type: 1,
        docker: Some(Default::default()),
        ..Default::default()
    };
    let mut task = sleeper("a");
    task.container = Some(docker.clone());
    assert!(answer(&good, vec![task]).contains("cannot use DOCKER"));

    let mut unset = good.clone();
    unset.r#type = None;
    assert_eq!(
        answer(&unset, vec![sleeper("a")]),
        "executor.type: must be set"
    );
    let mut commanded = good.clone();
    commanded.command = Some(shell("true"));
    assert_eq!(
        answer(&commanded, vec![sleeper("a")]),
        "executor.command: must not be set with type DEFAULT"
    );
    let mut custom = good.clone();
    custom.set_type(v1::executor_info::Type::Custom);
    assert_eq!(
        answer(&custom, vec![sleeper("a")]),
        "executor.command: must be set"
    );
    let mut boxed = good.clone();
    boxed.container = Some(docker);
    assert!(answer(&boxed, vec![sleeper("a")]).contains("cannot use DOCKER"));
    let poor = [
        (
            "mem:32;disk:1",
            "executor.resources[cpus]: at least 0.01 cpus is needed, but it has 0",
        ),
        (
            "cpus:1;mem:31;disk:1",
            "executor.resources[mem]: at least 32 MB of mem is needed",
        ),
        (
            "cpus:1;mem:32",
            "executor.resources[disk]: at least some disk is needed",
        ),
    ];
    for (text, message) in poor {
        let mut poor = good.clone();
        poor.resources = messages(text);
        let said = answer(&poor, vec![sleeper("a")]);
        assert!(said.starts_with(message), "{said}");
    }
}

#[test]
fn limits_in_groups_need_cgroups_of_their_own() {
    let limited = || {
        let mut task = sleeper("a");
        let limit = v1::value::Scalar { value: 2.0 };
        task.limits.insert("cpus".to_owned(), limit);
        task
    };
    let world = World::default();
    let answer = launch(&group_executor(), vec![limited()], &world).unwrap_err();
    assert!(answer.starts_with("task_group.tasks[a].limits: limits in a group need"));
    assert!(launch(&group_executor(), vec![isolated(limited())], &world).is_ok());
}

#[test]
fn cgroups_are_shared_by_all_tasks_of_an_executor_or_by_none() {
    let mixed = vec![isolated(sleeper("a")), sleeper("b")];
    let answer = launch(&group_executor(), mixed, &World::default()).unwrap_err();
    assert!(
        answer.contains("must be the same for all tasks of an executor"),
        "{answer}"
    );
    let mut world = World::default();
    world.shared.insert(ExecutorId::new("e"), true);
    let answer = launch(&group_executor(), vec![isolated(sleeper("a"))], &world).unwrap_err();
    assert!(answer.starts_with("task_group.tasks[a].container.linux_info.share_cgroups"));
}

#[test]
fn tasks_with_networks_are_probed_by_commands() {
    let mut task = isolated(sleeper("a"));
    task.container.as_mut().unwrap().network_infos = vec![Default::default()];
    let tcp = v1::health_check::TcpCheckInfo {
        port: 80,
        ..Default::default()
    };
    task.health_check = Some(v1::HealthCheck {
        r#type: Some(3),
        tcp: Some(tcp),
        ..Default::default()
    });
    let answer = launch(&group_executor(), vec![task], &World::default()).unwrap_err();
    assert!(
        answer.starts_with("task_group.tasks[a].health_check.type"),
        "{answer}"
    );
}
