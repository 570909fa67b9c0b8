//! The runtime's command line as a separate program; `tsbox` called by that name does the same.

fn main() {
    let args = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    std::process::exit(tsbox_runtime::main(args));
}
