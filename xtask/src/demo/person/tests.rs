use super::{Person, variable};
use crate::demo::engine::Engine;

#[test]
fn exports_are_read_as_a_shell_would() {
    let read = |line| variable(line).unwrap();
    assert_eq!(read("export PGPORT='5432'"), ("PGPORT".to_owned(), "5432".to_owned()));
    assert_eq!(
        read(r"export PGUSER='it'\''s = me'"),
        ("PGUSER".to_owned(), "it's = me".to_owned())
    );
    assert_eq!(variable("export PGUSER=bare"), None);
    assert_eq!(variable("unset AWS_PROFILE"), None);
}

#[test]
fn a_person_is_what_their_engine_s_variables_say() {
    let exports = "export MYSQL_HOST='localhost'\nexport MYSQL_TCP_PORT='3306'\nexport MYSQL_USER='ana'\nexport MYSQL_SSL_CA='/ca.pem'\n\
                   unset MYSQL_PWD";
    let ana = Person::parse(exports, Engine::Mariadb).ok().unwrap();
    assert_eq!(
        (ana.host.as_str(), ana.port, ana.user.as_str(), ana.ca.as_str(), ana.tls),
        ("localhost", 3306, "ana", "/ca.pem", true)
    );
    let problem = Person::parse(exports, Engine::Postgres).err().unwrap();
    assert_eq!(problem.to_string(), "`countersign local env` exports no PGPORT");
}
