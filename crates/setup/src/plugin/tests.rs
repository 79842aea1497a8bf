use std::path::Path;

use countersign_core::name::Engine;
use tempfile::TempDir;

use super::{
    Account, DEREGISTER, INSTALL, InstallOptions, REGISTER, Server, UNINSTALL, default_file,
    install, options, remove,
};
use crate::plan::{Action, Plan};

/// A server without the plugin, and options of an installation.
fn fixture() -> (TempDir, Server, InstallOptions) {
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
        variables: super::server::Variables::new(),
        accounts: Vec::new(),
    };
    let options = InstallOptions {
        library,
        config_file: directory.path().join("countersign.cnf"),
        verifier_socket: "/run/countersign/verifier.sock".into(),
        instance: "orders".parse().unwrap(),
        verifier_user: None,
    };
    (directory, server, options)
}

/// The server after an installation.
fn with_files(server: &Server, options: &InstallOptions) -> Server {
    let variables = options::variables(options).unwrap();
    let library = server.plugin_directory.join("mysql_countersign.so");
    std::fs::write(&library, std::fs::read(&options.library).unwrap()).unwrap();
    std::fs::set_permissions(&library, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    std::fs::write(&options.config_file, options::text(&variables)).unwrap();
    std::fs::set_permissions(
        &options.config_file,
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    let variables = variables.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    Server { loaded: true, has_row: true, variables, ..server.clone() }
}

/// The pending steps, abbreviated.
fn pending(plan: &Plan) -> Vec<String> {
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
fn any_server_starts_with_the_option_file() {
    let (_directory, _, options) = fixture();
    let text = options::text(
        &options::variables(&InstallOptions {
            verifier_user: Some("countersign".to_owned()),
            ..options
        })
        .unwrap(),
    );
    assert_eq!(
        text,
        "# Written by `countersign setup plugin`; `countersign setup plugin --remove` removes it.\n\
         [mysqld]\n\
         loose-awsauthenticationplugin-instance = orders\n\
         loose-awsauthenticationplugin-socket = /run/countersign/verifier.sock\n\
         loose-awsauthenticationplugin-verifier-user = countersign\n"
    );
}

#[test]
fn a_value_that_needs_quoting_is_rejected() {
    let (_directory, server, options) = fixture();
    for socket in [
        "verifier.sock",
        "/run/a b",
        "/run/a#b",
        "/run/a\nplugin-load=x",
        "/run/a\\b",
        &format!("/{}", "a".repeat(107)),
    ] {
        let options = InstallOptions { verifier_socket: socket.into(), ..options.clone() };
        assert!(install(&server, &options).is_err(), "{socket:?}");
    }
    assert!(
        install(&server, &InstallOptions { verifier_user: Some("a\nb".to_owned()), ..options })
            .is_err()
    );
}

#[test]
fn completed_steps_are_done() {
    let (_directory, server, options) = fixture();
    let all = ["write mysql_countersign.so", "write countersign.cnf", INSTALL, "check"];
    assert_eq!(pending(&install(&server, &options).unwrap()), all);

    let ready = with_files(&server, &options);
    assert!(install(&ready, &options).unwrap().is_done());
    // A run killed before INSTALL.
    assert_eq!(pending(&install(&server, &options).unwrap()), [INSTALL, "check"]);
    // A server that started without the library or its settings.
    let failed = Server { has_row: true, ..server.clone() };
    assert_eq!(pending(&install(&failed, &options).unwrap()), [DEREGISTER, INSTALL, "check"]);
    // With other settings or another library, the plugin is unloaded before a file changes.
    let renamed = InstallOptions { instance: "stock".parse().unwrap(), ..options.clone() };
    assert_eq!(
        pending(&install(&ready, &renamed).unwrap()),
        [UNINSTALL, "write countersign.cnf", INSTALL, "check"]
    );
    std::fs::write(&options.library, "ELF2").unwrap();
    assert_eq!(
        pending(&install(&ready, &options).unwrap()),
        [UNINSTALL, "write mysql_countersign.so", INSTALL, "check"]
    );
}

#[test]
fn mysql_needs_a_restart_for_new_settings() {
    let (_directory, server, options) = fixture();
    let server = Server { engine: Engine::Mysql, version: "9.7.4".to_owned(), ..server };
    let plan = install(&server, &options).unwrap();
    assert!(plan.restart && super::next_steps(&server, &options, &plan)[0].contains("restart"));
    assert_eq!(pending(&plan), ["write mysql_countersign.so", "write countersign.cnf", REGISTER]);

    let ready = with_files(&server, &options);
    let waiting =
        Server { loaded: false, variables: super::server::Variables::new(), ..ready.clone() };
    let plan = install(&waiting, &options).unwrap();
    assert!(plan.restart && plan.is_done(), "only the restart remains");
    assert_eq!(pending(&remove(&waiting, &options.config_file).unwrap())[0], DEREGISTER);
    let plan = install(&ready, &options).unwrap();
    assert!(!plan.restart && plan.is_done());
    // The server uses the old settings until its restart. A new library alone needs no restart.
    let renamed = InstallOptions { instance: "stock".parse().unwrap(), ..options.clone() };
    let plan = install(&ready, &renamed).unwrap();
    assert!(plan.restart);
    assert_eq!(pending(&plan), ["write countersign.cnf"]);
    std::fs::write(&options.library, "ELF2").unwrap();
    assert_eq!(
        pending(&install(&ready, &options).unwrap()),
        [UNINSTALL, "write mysql_countersign.so", INSTALL, "check"]
    );
}

#[test]
fn removing_the_verifier_user_changes_a_setting() {
    let (_directory, server, options) = fixture();
    let trusting =
        InstallOptions { verifier_user: Some("countersign".to_owned()), ..options.clone() };
    let ready = with_files(&server, &trusting);
    assert!(install(&ready, &trusting).unwrap().is_done());
    let plan = install(&ready, &options).unwrap();
    assert_eq!(pending(&plan), [UNINSTALL, "write countersign.cnf", INSTALL, "check"]);
    let shown = plan.steps.last().unwrap().action.to_string();
    assert!(shown.contains("awsauthenticationplugin_verifier_user unset"), "{shown}");
    // A run killed after the file was written, or a server with another file that trusts the user.
    with_files(&server, &options);
    assert_eq!(pending(&install(&ready, &options).unwrap()), [UNINSTALL, INSTALL, "check"]);
    let mysql = Server { engine: Engine::Mysql, version: "9.7.4".to_owned(), ..ready.clone() };
    assert!(install(&mysql, &options).unwrap().restart);
    // The other settings are the administrator's own.
    let mut timed = with_files(&server, &options);
    timed.variables.insert("awsauthenticationplugin_timeout".to_owned(), "2s".to_owned());
    timed.variables.insert("awsauthenticationplugin_verifier_uid".to_owned(), "990".to_owned());
    assert!(install(&timed, &options).unwrap().is_done());
}

#[test]
fn installing_waits_for_logins_with_the_previous_plugin() {
    let (_directory, server, options) = fixture();
    let ready = with_files(&server, &options);
    let renamed = InstallOptions { instance: "stock".parse().unwrap(), ..options.clone() };
    let plans = [
        install(&server, &options),
        install(&ready, &renamed),
        remove(&ready, &options.config_file),
    ];
    let mut installing = 0;
    for step in plans.into_iter().flat_map(|plan| plan.unwrap().steps) {
        let Action::Sql { statement, undo, .. } = step.action else {
            continue;
        };
        for statement in [Some(statement), undo].into_iter().flatten() {
            let waits = statement
                .after
                .is_some_and(|condition| condition.timeout > std::time::Duration::from_secs(10));
            assert_eq!(waits, statement.text == INSTALL, "{}", statement.text);
            installing += usize::from(waits);
        }
    }
    assert_eq!(installing, 4, "two that install it, and two that undo UNINSTALL");
}

#[test]
fn changes_of_system_tables_are_not_replicated() {
    for statement in [REGISTER, DEREGISTER] {
        assert!(statement.starts_with("SET SESSION sql_log_bin = 0; "), "{statement}");
    }
}

#[test]
fn removal_is_in_reverse_order_and_refused_while_accounts_use_the_plugin() {
    let (_directory, server, options) = fixture();
    assert!(remove(&server, &options.config_file).unwrap().is_done());
    let ready = with_files(&server, &options);
    assert_eq!(
        pending(&remove(&ready, &options.config_file).unwrap()),
        [UNINSTALL, "remove countersign.cnf", "remove mysql_countersign.so"]
    );
    let failed = Server { loaded: false, ..ready.clone() };
    assert_eq!(pending(&remove(&failed, &options.config_file).unwrap())[0], DEREGISTER);
    let used = Server {
        accounts: vec![Account { user: "jane".to_owned(), host: "%".to_owned() }],
        ..ready
    };
    let refused = remove(&used, &options.config_file).unwrap_err().to_string();
    assert!(refused.contains("'jane'@'%'") && refused.contains("DROP USER"), "{refused}");
}

#[test]
fn foreign_files_and_options_are_kept() {
    let (_directory, server, options) = fixture();
    let by_option = Server { loaded: true, has_row: false, ..server.clone() };
    for refused in [install(&by_option, &options), remove(&by_option, &options.config_file)] {
        assert!(refused.unwrap_err().to_string().contains("plugin-load-add"));
    }
    std::fs::write(&options.config_file, "[mysqld]\nport = 3306\n").unwrap();
    for refused in [install(&server, &options), remove(&server, &options.config_file)] {
        assert!(refused.unwrap_err().to_string().contains("--config-file"));
    }
}

#[test]
fn the_default_directory_must_be_included() {
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
