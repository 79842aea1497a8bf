use std::path::Path;

use countersign_core::name::Engine;
use tempfile::TempDir;

use super::{
    Account, FORGET, INSTALL, REGISTER, Server, UNINSTALL, Wanted, default_file, install, options,
    remove,
};
use crate::plan::{Action, Plan};

/// A server without the plugin, and what it is to have.
fn place() -> (TempDir, Server, Wanted) {
    let directory = TempDir::new().unwrap();
    let (plugins, library) = (directory.path().join("plugins"), directory.path().join("built.so"));
    std::fs::create_dir(&plugins).unwrap();
    std::fs::write(&library, "ELF").unwrap();
    let server = Server {
        engine: Engine::Mariadb,
        version: "10.11.19-MariaDB".to_owned(),
        port: 3306,
        plugin_directory: plugins,
        runs_as: Some("mysql".to_owned()),
        loaded: false,
        has_row: false,
        variables: super::Variables::new(),
        accounts: Vec::new(),
    };
    let wanted = Wanted {
        library,
        config_file: directory.path().join("countersign.cnf"),
        verifier_socket: "/run/countersign/verifier.sock".into(),
        instance: "orders".parse().unwrap(),
        verifier_user: None,
    };
    (directory, server, wanted)
}

/// The server once the files of the plan are written and it has loaded the plugin.
fn with_files(server: &Server, wanted: &Wanted) -> Server {
    let variables = options::variables(wanted).unwrap();
    let library = server.plugin_directory.join("mysql_countersign.so");
    std::fs::write(&library, std::fs::read(&wanted.library).unwrap()).unwrap();
    std::fs::set_permissions(&library, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    std::fs::write(&wanted.config_file, options::text(&variables)).unwrap();
    std::fs::set_permissions(
        &wanted.config_file,
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    let variables = variables.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    Server { loaded: true, has_row: true, variables, ..server.clone() }
}

/// What is left to do, in short.
fn to_do(plan: &Plan) -> Vec<String> {
    let short = |action: &Action| match action {
        Action::Write { path, .. } => format!("write {}", name(path)),
        Action::Delete { path } => format!("remove {}", name(path)),
        Action::Sql { statement, .. } => statement.text.clone(),
        Action::Check { .. } => "check".to_owned(),
    };
    plan.steps.iter().filter(|step| !step.done).map(|step| short(&step.action)).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn the_option_file_is_what_any_server_starts_with() {
    let (_directory, _, wanted) = place();
    let text = options::text(
        &options::variables(&Wanted { verifier_user: Some("countersign".to_owned()), ..wanted })
            .unwrap(),
    );
    assert_eq!(
        text,
        "# Written by `countersign setup plugin`; with --remove it takes this file away again.\n\
         [mysqld]\n\
         loose-awsauthenticationplugin-instance = orders\n\
         loose-awsauthenticationplugin-socket = /run/countersign/verifier.sock\n\
         loose-awsauthenticationplugin-verifier-user = countersign\n"
    );
}

#[test]
fn a_value_that_would_be_another_line_is_refused() {
    let (_directory, server, wanted) = place();
    for socket in [
        "verifier.sock",
        "/run/a b",
        "/run/a#b",
        "/run/a\nplugin-load=x",
        "/run/a\\b",
        &format!("/{}", "a".repeat(107)),
    ] {
        let wanted = Wanted { verifier_socket: socket.into(), ..wanted.clone() };
        assert!(install(&server, &wanted).is_err(), "{socket:?}");
    }
    assert!(
        install(&server, &Wanted { verifier_user: Some("a\nb".to_owned()), ..wanted }).is_err()
    );
}

#[test]
fn only_what_is_not_done_is_to_do() {
    let (_directory, server, wanted) = place();
    let all = ["write mysql_countersign.so", "write countersign.cnf", INSTALL, "check"];
    assert_eq!(to_do(&install(&server, &wanted).unwrap()), all);

    let ready = with_files(&server, &wanted);
    assert!(install(&ready, &wanted).unwrap().is_done());
    // A run that was killed before INSTALL.
    assert_eq!(to_do(&install(&server, &wanted).unwrap()), [INSTALL, "check"]);
    // A server that started while the library, or its settings, were away.
    let failed = Server { has_row: true, ..server.clone() };
    assert_eq!(to_do(&install(&failed, &wanted).unwrap()), [FORGET, INSTALL, "check"]);
    // Other settings, another library: unloaded before a file changes.
    let renamed = Wanted { instance: "stock".parse().unwrap(), ..wanted.clone() };
    assert_eq!(
        to_do(&install(&ready, &renamed).unwrap()),
        [UNINSTALL, "write countersign.cnf", INSTALL, "check"]
    );
    std::fs::write(&wanted.library, "ELF2").unwrap();
    assert_eq!(
        to_do(&install(&ready, &wanted).unwrap()),
        [UNINSTALL, "write mysql_countersign.so", INSTALL, "check"]
    );
}

#[test]
fn mysql_is_restarted_for_settings_that_it_has_not_read() {
    let (_directory, server, wanted) = place();
    let server = Server { engine: Engine::Mysql, version: "9.7.4".to_owned(), ..server };
    let plan = install(&server, &wanted).unwrap();
    assert!(plan.restart && super::afterwards(&server, &wanted, &plan)[0].contains("restart"));
    assert_eq!(to_do(&plan), ["write mysql_countersign.so", "write countersign.cnf", REGISTER]);

    let ready = with_files(&server, &wanted);
    let waiting = Server { loaded: false, variables: super::Variables::new(), ..ready.clone() };
    let plan = install(&waiting, &wanted).unwrap();
    assert!(plan.restart && plan.is_done(), "it waits for the restart");
    assert_eq!(to_do(&remove(&waiting, &wanted.config_file).unwrap())[0], FORGET);
    let plan = install(&ready, &wanted).unwrap();
    assert!(!plan.restart && plan.is_done());
    // Other settings: the server goes on with the old ones until then. Another library alone needs no restart.
    let renamed = Wanted { instance: "stock".parse().unwrap(), ..wanted.clone() };
    let plan = install(&ready, &renamed).unwrap();
    assert!(plan.restart);
    assert_eq!(to_do(&plan), ["write countersign.cnf"]);
    std::fs::write(&wanted.library, "ELF2").unwrap();
    assert_eq!(
        to_do(&install(&ready, &wanted).unwrap()),
        [UNINSTALL, "write mysql_countersign.so", INSTALL, "check"]
    );
}

#[test]
fn a_verifier_s_user_that_is_no_longer_trusted_is_a_setting_that_changes() {
    let (_directory, server, wanted) = place();
    let trusting = Wanted { verifier_user: Some("countersign".to_owned()), ..wanted.clone() };
    let ready = with_files(&server, &trusting);
    assert!(install(&ready, &trusting).unwrap().is_done());
    let plan = install(&ready, &wanted).unwrap();
    assert_eq!(to_do(&plan), [UNINSTALL, "write countersign.cnf", INSTALL, "check"]);
    let shown = plan.steps.last().unwrap().action.to_string();
    assert!(shown.contains("awsauthenticationplugin_verifier_user unset"), "{shown}");
    // A run that was killed once the file was written; and a server that another file tells to trust the user.
    with_files(&server, &wanted);
    assert_eq!(to_do(&install(&ready, &wanted).unwrap()), [UNINSTALL, INSTALL, "check"]);
    let mysql = Server { engine: Engine::Mysql, version: "9.7.4".to_owned(), ..ready.clone() };
    assert!(install(&mysql, &wanted).unwrap().restart);
    // The other settings are the administrator's own.
    let mut timed = with_files(&server, &wanted);
    timed.variables.insert("awsauthenticationplugin_timeout".to_owned(), "2s".to_owned());
    timed.variables.insert("awsauthenticationplugin_verifier_uid".to_owned(), "990".to_owned());
    assert!(install(&timed, &wanted).unwrap().is_done());
}

#[test]
fn whatever_installs_it_waits_for_logins_with_the_one_before() {
    let (_directory, server, wanted) = place();
    let ready = with_files(&server, &wanted);
    let renamed = Wanted { instance: "stock".parse().unwrap(), ..wanted.clone() };
    let plans =
        [install(&server, &wanted), install(&ready, &renamed), remove(&ready, &wanted.config_file)];
    let mut installing = 0;
    for step in plans.into_iter().flat_map(|plan| plan.unwrap().steps) {
        let Action::Sql { statement, undo, .. } = step.action else {
            continue;
        };
        for statement in [Some(statement), undo].into_iter().flatten() {
            let waits = statement
                .after
                .is_some_and(|ending| ending.patience > std::time::Duration::from_secs(10));
            assert_eq!(waits, statement.text == INSTALL, "{}", statement.text);
            installing += usize::from(waits);
        }
    }
    assert_eq!(installing, 4, "two that install it, and two that take UNINSTALL back");
}

#[test]
fn what_is_written_to_the_server_s_tables_is_not_replicated() {
    for statement in [REGISTER, FORGET] {
        assert!(statement.starts_with("SET SESSION sql_log_bin = 0; "), "{statement}");
    }
}

#[test]
fn it_is_taken_out_in_the_reverse_order_and_not_from_under_an_account() {
    let (_directory, server, wanted) = place();
    assert!(remove(&server, &wanted.config_file).unwrap().is_done());
    let ready = with_files(&server, &wanted);
    assert_eq!(
        to_do(&remove(&ready, &wanted.config_file).unwrap()),
        [UNINSTALL, "remove countersign.cnf", "remove mysql_countersign.so"]
    );
    let failed = Server { loaded: false, ..ready.clone() };
    assert_eq!(to_do(&remove(&failed, &wanted.config_file).unwrap())[0], FORGET);
    let used = Server {
        accounts: vec![Account { user: "jane".to_owned(), host: "%".to_owned() }],
        ..ready
    };
    let refused = remove(&used, &wanted.config_file).unwrap_err().to_string();
    assert!(refused.contains("'jane'@'%'") && refused.contains("DROP USER"), "{refused}");
}

#[test]
fn somebody_else_s_files_and_options_stay() {
    let (_directory, server, wanted) = place();
    let by_option = Server { loaded: true, has_row: false, ..server.clone() };
    for refused in [install(&by_option, &wanted), remove(&by_option, &wanted.config_file)] {
        assert!(refused.unwrap_err().to_string().contains("plugin-load-add"));
    }
    std::fs::write(&wanted.config_file, "[mysqld]\nport = 3306\n").unwrap();
    for refused in [install(&server, &wanted), remove(&server, &wanted.config_file)] {
        assert!(refused.unwrap_err().to_string().contains("--config-file"));
    }
}

#[test]
fn the_usual_directory_counts_where_it_is_included() {
    let root = TempDir::new().unwrap();
    assert_eq!(default_file(root.path()), None);
    std::fs::create_dir_all(root.path().join("etc/mysql/conf.d")).unwrap();
    assert_eq!(default_file(root.path()), None);
    std::fs::write(
        root.path().join("etc/mysql/my.cnf"),
        "[client]\n# !includedir /etc/mysql/conf.d/\n",
    )
    .unwrap();
    assert_eq!(default_file(root.path()), None);
    std::fs::write(
        root.path().join("etc/mysql/my.cnf"),
        "[client]\n!includedir /etc/mysql/conf.d/\n",
    )
    .unwrap();
    assert_eq!(
        default_file(root.path()),
        Some(root.path().join("etc/mysql/conf.d/countersign.cnf"))
    );
}
