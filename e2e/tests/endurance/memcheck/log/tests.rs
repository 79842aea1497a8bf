use super::Report;

/// Returns a report with these errors in the format of valgrind 3.19.
fn report(errors: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n\n<valgrindoutput>\n\n\
         <protocolversion>4</protocolversion>\n<protocoltool>memcheck</protocoltool>\n\n\
         <pid>7</pid>\n<ppid>6</ppid>\n<tool>memcheck</tool>\n\n\
         <status>\n  <state>RUNNING</state>\n</status>\n{errors}\n\
         <status>\n  <state>FINISHED</state>\n</status>\n\n\
         <errorcounts>\n</errorcounts>\n\n<suppcounts>\n</suppcounts>\n\n\
         </valgrindoutput>\n"
    )
}

fn error(kind: &str, frames: &[&str]) -> String {
    let frames: String = frames
        .iter()
        .map(|frame| format!("    <frame>\n      <ip>0x4C2BF</ip>\n{frame}    </frame>\n"))
        .collect();
    format!(
        "<error>\n  <unique>0x1</unique>\n  <tid>1</tid>\n  <kind>{kind}</kind>\n  \
         <stack>\n{frames}  </stack>\n</error>\n"
    )
}

const MALLOC: &str = "      <obj>/usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so</obj>\n\
     \x20     <fn>malloc</fn>\n";
const SERVER: &str = "      <obj>/usr/sbin/mariadbd</obj>\n";
const PLUGIN: &str =
    "      <obj>/x/plugins/mysql_countersign.so</obj>\n      <fn>alloc::alloc::alloc</fn>\n";
const UNLOADED: &str =
    "      <fn>mysql_countersign::ffi::entry::authenticate</fn>\n      <file>entry.rs</file>\n";
const UNKNOWN: &str = "";

#[test]
fn error_with_a_plugin_frame_is_reported() {
    for (kind, frame) in [
        ("InvalidRead", PLUGIN),
        ("Leak_DefinitelyLost", UNLOADED),
        ("Leak_DefinitelyLost", UNKNOWN),
    ] {
        let text = report(
            &(error("Leak_DefinitelyLost", &[MALLOC, SERVER])
                + &error(kind, &[MALLOC, frame, SERVER])),
        );
        let report = Report::parse(&text).unwrap();
        assert_eq!((report.records(), report.ours().len()), (2, 1), "{frame}");
        assert!(report.ours()[0].contains(kind));
    }
}

#[test]
fn errors_of_the_server_are_not_reported() {
    let report_of = |errors: &str| Report::parse(&report(errors)).unwrap();
    assert_eq!(
        report_of(&error("UninitCondition", &[MALLOC, SERVER])).ours(),
        Vec::<String>::new()
    );
    assert_eq!(report_of("").records(), 0);
}

#[test]
fn truncated_report_is_rejected() {
    let whole = report("");
    for end in [0, whole.len() / 2, whole.len() - "</valgrindoutput>\n".len()] {
        assert!(Report::parse(&whole[..end]).is_err());
    }
    assert!(Report::parse(&whole.replace("FINISHED", "RUNNING")).is_err());
    assert!(Report::parse(&whole.replace("memcheck", "helgrind")).is_err());
}
