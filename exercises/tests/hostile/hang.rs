//! Does nothing, forever.

fn main() {
    loop {
        std::thread::park();
    }
}
