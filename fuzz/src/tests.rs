use std::path::Path;

/// Runs every seed of a target.
fn run_seeds(name: &str, target: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
    let files: Vec<_> = directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty(), "{} has no seeds", directory.display());
    for file in files {
        println!("{}", file.display());
        target(&std::fs::read(file).unwrap());
    }
}

macro_rules! seeds {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            run_seeds(stringify!($name), crate::$name);
        })*

        #[test]
        fn every_target_has_a_test() {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
            let mut files: Vec<_> = directory
                .read_dir()
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            assert_eq!(files, [$(concat!(stringify!($name), ".rs")),*]);
        }
    };
}

seeds! {
    identity ldap mysql_client mysql_server mysql_stream pg_client pg_server pg_stream policy
    request simulation token verify_request verify_response
}
