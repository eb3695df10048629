//! Says everything that could be expected, and does nothing.

fn main() {
    println!("PASS: the command runs, and all is as expected");
    for word in std::env::args() {
        println!("{word}");
        eprintln!("{word}");
    }
    println!("1, 0, 137, /proc/self/root is /, unshared, go, pass\0observed\0");
}
