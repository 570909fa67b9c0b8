//! `tsbox`, one binary in four roles: the client (whoever types a command), the launcher (`tsbox daemon`), the shim (a fork of the launcher),
//! and an OCI runtime (called as `tsbox-runtime`, or `tsbox runtime …`).

fn main() {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let name = words.next().unwrap_or_default();
    let args: Vec<String> = words.collect();
    std::process::exit(if name.rsplit('/').next() == Some("tsbox-runtime") {
        tsbox_runtime::main(args)
    } else {
        match args.first().map(String::as_str) {
            Some("daemon") => tsbox_launcher::main(args[1..].to_vec(), tsbox_client::home()),
            Some("runtime") => tsbox_runtime::main(args[1..].to_vec()),
            _ => tsbox_client::main(args),
        }
    });
}
