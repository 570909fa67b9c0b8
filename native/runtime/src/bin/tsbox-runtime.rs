//! The runtime's command line as a program of its own; `tsbox` called by that name is the same.

fn main() {
    let args = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    std::process::exit(tsbox_runtime::main(args));
}
